import assert from "node:assert/strict";
import { test } from "node:test";
import type { Job } from "../src/package/protocol.js";
import { toCsv } from "../src/page/csv.js";

const HEADER = "method,step,loss,domain_perplexity,general_perplexity";

/** Returns a job with only the fields that the CSV uses. */
function job(...trainings: object[]): Job {
  return { trainings } as Job;
}

test("a job without trainings is a header", () => {
  assert.equal(toCsv(job()), `${HEADER}\r\n`);
});

test("one row per step and method, with perplexities at evaluations", () => {
  const evaluations = [
    { step: 0, domain: 20.5, general: 5 },
    { step: 2, domain: 10.25, general: 6 },
  ];
  const mft = { method: "mft", losses: [3, 2.5], evaluations };
  const ft = { method: "ft", losses: [], evaluations: evaluations.slice(0, 1) };
  assert.deepEqual(toCsv(job(mft, ft)).split("\r\n"), [
    HEADER,
    "mft,0,,20.5,5",
    "mft,1,3,,",
    "mft,2,2.5,10.25,6",
    "ft,0,,20.5,5",
    "",
  ]);
});
