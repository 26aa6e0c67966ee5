import type { JobSettings } from "./protocol.js";

/** What a job is unless somebody asks for something else. */
export const defaultSettings: JobSettings = {
  method: "mft",
  compare: true,
  tau: 0.25,
  learningRate: 1e-3,
  epochs: 3,
  samples: 500,
  batchSize: 8,
  maxLength: 256,
  seed: 0,
  evaluationSamples: 100,
  evaluations: 6,
  prompt: "",
};
