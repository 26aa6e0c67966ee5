import assert from "node:assert/strict";
import { test } from "node:test";
import type { Evaluation, EvaluationMetrics, Job, Method, Training } from "../src/package/protocol.js";
import { defaultSettings } from "../src/package/settings.js";
import { checkpointStep, latest, progress, ratioText, untouched, verdict } from "../src/page/metrics.js";

/** Metrics as the library computes them. */
function metrics(values: Partial<EvaluationMetrics>): EvaluationMetrics {
  return {
    specialization: 0,
    degeneralization: 0,
    ratio: null,
    ratioText: "nothing forgotten",
    domainNats: 0,
    generalNats: 0,
    ...values,
  };
}

function training(method: Method, values: Partial<Training>, last?: Partial<EvaluationMetrics>): Training {
  const evaluations: Evaluation[] = [{ step: 0, domain: 20, general: 5, metrics: metrics({}) }];
  if (last) evaluations.push({ step: 10, domain: 10, general: 6, metrics: metrics(last) });
  return {
    method,
    tau: 0.25,
    steps: 10,
    step: 10,
    epoch: 1,
    losses: [],
    evaluations,
    continuations: [],
    tokensPerSecond: 0,
    seconds: 0,
    checkpoint: null,
    finished: true,
    front: null,
    ...values,
  };
}

function job(...trainings: Training[]): Job {
  return {
    id: "1",
    created: 0,
    updated: 0,
    state: "finished",
    message: null,
    settings: { ...defaultSettings, compare: ["ft"] },
    device: "CPU",
    model: { name: "model", parameters: 1, embedded: true },
    texts: { domain: "domain", general: "general" },
    trainings,
    activity: null,
    secondsLeft: null,
    bytes: 0,
  };
}

const GAIN = { specialization: 10, degeneralization: 1, ratio: 10, ratioText: "10.0", domainNats: Math.log(0.5) };
const LARGE_COST = { specialization: 20, degeneralization: 10, ratio: 2, ratioText: "2.0", domainNats: Math.log(0.25) };
const NO_COST = { ...GAIN, degeneralization: -1, ratio: null, ratioText: "nothing forgotten" };
const DIVERGED = { ...GAIN, degeneralization: Number.POSITIVE_INFINITY, ratio: null, ratioText: "diverged" };
const NO_GAIN = { specialization: -10, degeneralization: 1, ratio: -10, ratioText: "-10.0", domainNats: Math.log(1.5) };

test("the ratio is a number, negative for a loss on the domain, or the library's words", () => {
  assert.equal(ratioText(metrics(GAIN)), "10.0");
  assert.equal(ratioText(metrics(NO_GAIN)), "\u221210.0");
  assert.equal(ratioText(metrics(NO_COST)), "nothing forgotten");
});

test("the verdict of one training", () => {
  assert.equal(verdict(job()), "");
  assert.equal(verdict(job(training("mft", { finished: false }, GAIN))), "");
  assert.equal(
    verdict(job(training("mft", {}, GAIN))),
    "Minifinetuning lowered domain perplexity by 50\u202f% and gained 10.0 points per point forgotten.",
  );
  assert.equal(
    verdict(job(training("ft", {}, NO_COST))),
    "Finetuning lowered domain perplexity by 50\u202f% and forgot nothing.",
  );
  assert.equal(verdict(job(training("ft", {}, NO_GAIN))), "Finetuning did not improve domain perplexity.");
  assert.match(verdict(job(training("ft", {}, DIVERGED))), /, but general perplexity diverged\.$/);
});

test("the verdict of a comparison", () => {
  const compared = (mft: Partial<EvaluationMetrics>, ft: Partial<EvaluationMetrics>) =>
    verdict(job(training("mft", {}, mft), training("ft", {}, ft)));
  const gained = "Minifinetuning achieved 50\u202f% of the gain of finetuning";
  assert.equal(compared(GAIN, LARGE_COST), `${gained}, and 5.0 times the gain per point forgotten.`);
  assert.equal(compared(NO_COST, LARGE_COST), `${gained} and forgot nothing.`);
  assert.equal(compared({ ...NO_COST, specialization: 5 }, NO_COST), `${gained}; neither forgot anything.`);
  assert.equal(compared({ ...GAIN, specialization: 5 }, NO_COST), `${gained}; finetuning forgot nothing.`);
  assert.match(compared(GAIN, DIVERGED), /^Minifinetuning lowered .* but general perplexity diverged\.$/);
  assert.match(compared(GAIN, NO_GAIN), /^Minifinetuning lowered .* Finetuning did not improve domain perplexity\.$/);
});

test("progress and checkpoints are counted over all trainings", () => {
  const running = job(training("mft", {}, GAIN), training("ft", { step: 5, checkpoint: 4, finished: false }));
  assert.deepEqual(progress(running), { done: 15, total: 20, share: 0.75 });
  assert.equal(checkpointStep(running), 14);
  assert.deepEqual(progress(job()), { done: 0, total: 0, share: 0 });
});

test("the latest evaluation is not the untouched model's", () => {
  const started = training("mft", {});
  assert.equal(latest(started), null);
  assert.equal(latest(training("mft", {}, GAIN))?.step, 10);
  assert.equal(untouched(job(started))?.domain, 20);
  assert.equal(untouched(job()), null);
});
