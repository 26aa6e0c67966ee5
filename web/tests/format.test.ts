import assert from "node:assert/strict";
import { test } from "node:test";
import {
  bytes,
  count,
  counted,
  decimal,
  duration,
  percent,
  perplexity,
  roughly,
  sentence,
  short,
  signed,
} from "../src/page/format.js";

const MINUS = "\u2212";
const THIN = "\u202f";

/** Compares the results of a formatter. */
function formats(format: (value: number) => string, cases: [number, string][]): void {
  for (const [value, expected] of cases) assert.equal(format(value), expected);
}

test("counts", () => {
  formats(count, [
    [361_280, "361,280"],
    [0.6, "1"],
  ]);
  assert.equal(counted(1, "sample"), "1 sample");
  assert.equal(counted(1320, "sample"), "1,320 samples");
  formats(short, [
    [999, "999"],
    [361_280, `361${THIN}k`],
    [1_500_000, `1.5${THIN}M`],
    [2e9, `2${THIN}B`],
  ]);
});

test("decimals have a true minus sign, and none at zero", () => {
  formats(decimal, [
    [-1.234, `${MINUS}1.23`],
    [-0.001, "0.00"],
    [Number.NaN, "not a number"],
  ]);
  formats(signed, [
    [0.5, "+0.50"],
    [-0.5, `${MINUS}0.50`],
    [0, "0.00"],
  ]);
});

test("perplexities", () => {
  formats(perplexity, [
    [12.345, "12.35"],
    [1234.5, "1,235"],
    [Number.POSITIVE_INFINITY, "∞"],
  ]);
});

test("bytes", () => {
  formats(bytes, [
    [12, "12 bytes"],
    [1536, "1.50 KiB"],
    [999 * 1024, "999 KiB"],
    [1000 * 1024, "0.98 MiB"],
    [15.25 * 2 ** 30, "15.3 GiB"],
  ]);
});

test("durations", () => {
  formats(duration, [
    [-1, "0 s"],
    [59.4, "59 s"],
    [80, "1 min 20 s"],
    [120, "2 min"],
    [7500, "2 h 5 min"],
    [4 * 86_400, "4 days"],
  ]);
  formats(roughly, [
    [3, "a few seconds"],
    [20, "15 seconds"],
    [30, "30 seconds"],
    [60, "1 minute"],
    [120, "2 minutes"],
    [7200, "2 hours"],
    [3 * 86_400, "3 days"],
  ]);
  assert.equal(percent(0.254), `25${THIN}%`);
});

test("messages become sentences, except for file names", () => {
  assert.equal(sentence("the storage is full"), "The storage is full.");
  assert.equal(sentence("bad.jsonl:2: not JSON"), "bad.jsonl:2: not JSON.");
  assert.equal(sentence("Was it moved?"), "Was it moved?");
});
