import type { AdapterKind, JobSettings } from "./protocol.js";

/** Learning rates to begin with: fewer values want larger steps. */
export const learningRates: Record<AdapterKind, number> = { none: 1e-3, lora: 3e-3, dora: 3e-3, ia3: 1e-2 };

/** What a job is unless somebody asks for something else. */
export const defaultSettings: JobSettings = {
  method: "mft",
  compare: true,
  adapter: "none",
  tau: 0.25,
  learningRate: learningRates.none,
  epochs: 3,
  samples: 500,
  batchSize: 8,
  maxLength: 256,
  seed: 0,
  evaluationSamples: 100,
  evaluations: 6,
  prompt: "",
};
