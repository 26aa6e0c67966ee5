import assert from "node:assert/strict";
import { test } from "node:test";
import type { EvaluationMetrics, Front } from "../src/package/protocol.js";
import { completeSettings, defaultSettings, methodsOf } from "../src/package/settings.js";
import { estimateAt, nearest, placeAt } from "../src/page/charts/front.js";

/** A point that gained `gain` and forgot `loss` perplexity points. */
function point(weight: number, loss: number, gain: number) {
  const metrics: EvaluationMetrics = {
    specialization: gain,
    degeneralization: loss,
    ratio: null,
    ratioText: "",
    domainNats: Math.log((20 - gain) / 20),
    generalNats: Math.log((5 + loss) / 5),
  };
  return { weight, domain: 20 - gain, general: 5 + loss, metrics };
}

const front: Front = {
  domainSamples: 16,
  generalSamples: 16,
  untouched: { domain: 20, general: 5 },
  points: [point(0, 0, 0), point(0.5, 1, 8), point(1, 5, 10)],
};

test("places lie on the lines between measured points", () => {
  assert.deepEqual(placeAt(front, 0.5, "points"), [1, 8]);
  assert.deepEqual(placeAt(front, 0.75, "points"), [3, 9]);
  assert.deepEqual(placeAt(front, 0, "points"), [0, 0]);
  assert.equal(placeAt({ ...front, points: [] }, 0.5, "points"), null);
});

test("perplexities between points are estimated linearly in their logarithms", () => {
  assert.deepEqual(estimateAt(front, 1), { domain: 10, general: 10 });
  assert.ok(Math.abs((estimateAt(front, 0.75)?.general ?? 0) - Math.sqrt(6 * 10)) < 1e-9);
});

test("the nearest strength on the screen is found", () => {
  const found = nearest(front, "points", ([x, y]) => [100 * x, 100 * y], [300, 900]);
  assert.ok(Math.abs(found.weight - 0.75) < 1e-9 && found.distance < 1e-9, JSON.stringify(found));
  const beyond = nearest(front, "points", ([x, y]) => [x, y], [-5, -5]);
  assert.equal(beyond.weight, 0);
});

test("settings of earlier versions are completed", () => {
  const { ewc: _, compare: __, ...earlier } = defaultSettings;
  const stored = (compare: boolean, method = "mft") =>
    completeSettings({ ...earlier, method, compare } as unknown as typeof defaultSettings);
  assert.deepEqual(methodsOf(stored(true)), ["mft", "ft"]);
  assert.deepEqual(methodsOf(stored(false)), ["mft"]);
  assert.deepEqual(methodsOf(stored(true, "ft")), ["ft"]);
  assert.equal(stored(true).ewc, defaultSettings.ewc);
});
