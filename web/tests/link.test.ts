import assert from "node:assert/strict";
import { test } from "node:test";
import type { JobSettings } from "../src/package/protocol.js";
import { defaultSettings } from "../src/package/settings.js";
import { complaint, field, MAX_PROMPT, NUMBER_FIELDS } from "../src/page/fields.js";
import { fromFragment, toFragment } from "../src/page/link.js";

test("the default settings have an empty fragment", () => {
  assert.equal(toFragment(defaultSettings, "auto"), "");
  assert.deepEqual(fromFragment(""), { settings: {}, device: null, notes: [] });
});

test("changed settings survive a round trip", () => {
  const changed = {
    method: "ft",
    compare: ["constant", "ewc"],
    ewc: 3,
    replayRatio: 0.5,
    adapter: "ia3",
    tau: 0.5,
    learningRate: 1e-5,
    epochs: 7,
    samples: 12,
    batchSize: 2,
    maxLength: 33,
    seed: 4_294_967_295,
    evaluationSamples: 5,
    evaluations: 2,
    prompt: "Gänge & Kette: 100 %\n#1",
  } satisfies Partial<JobSettings>;
  assert.deepEqual(fromFragment(toFragment(changed, "gpu")), { settings: changed, device: "gpu", notes: [] });
});

test("links of earlier versions compare with plain finetuning or not", () => {
  assert.deepEqual(fromFragment("#compare=0").settings, { compare: [] });
  assert.deepEqual(fromFragment("#compare=1").settings, { compare: ["ft"] });
  assert.deepEqual(fromFragment(toFragment({ compare: [] }, "auto")).settings, { compare: [] });
});

test("invalid parameters are ignored with a note", () => {
  const fragment = "#tau=2&epochs=&seed=1.5&batch=0&lr=abc&adapter=qlora&compare=2&device=tpu&colour=red&length=64";
  const { settings, device, notes } = fromFragment(fragment);
  assert.deepEqual(settings, { maxLength: 64 });
  assert.equal(device, null);
  assert.equal(notes.length, 9);
  assert.match(notes[0] ?? "", /“tau=2” is ignored: The maximum is 1/);
  assert.match(notes[8] ?? "", /“colour=red” is ignored: unknown setting/);
});

test("long values are shortened in notes, and a long prompt is rejected", () => {
  const { settings, notes } = fromFragment(`#prompt=${"x".repeat(MAX_PROMPT + 1)}`);
  assert.deepEqual(settings, {});
  assert.equal(notes[0], `“prompt=${"x".repeat(24)}…” is ignored: longer than ${MAX_PROMPT} characters.`);
});

test("every default is within the range of its field", () => {
  for (const number of NUMBER_FIELDS) assert.equal(complaint(number, String(defaultSettings[number.key])), null);
});

test("numbers out of range are rejected", () => {
  assert.equal(complaint(field("epochs"), "0"), "The minimum is 1.");
  assert.equal(complaint(field("maxLength"), "32769"), "The maximum is 32,768.");
  assert.equal(complaint(field("epochs"), "1.5"), "Enter a whole number.");
  assert.match(complaint(field("tau"), " ") ?? "", /^Enter a number, such as 0\.25\.$/);
  assert.match(complaint(field("tau"), "Infinity") ?? "", /^Enter a number/);
});
