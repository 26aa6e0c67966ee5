import { adapterSettings, defaultTrainSettings } from "../../wasm/minift.js";
import type { TrainSettings } from "../../wasm/minift.js";
import type { JobSettings, Method } from "./protocol.js";

/** The trainings of a job, in their order. */
export function methodsOf(settings: JobSettings): Method[] {
  return settings.compare && settings.method === "mft" ? ["mft", "ft"] : [settings.method];
}

/** τ of a method: with 1 the corrected target is the label alone, which is plain finetuning. */
export function tauOf(method: Method, settings: JobSettings): number {
  return method === "ft" ? 1 : settings.tau;
}

/** The library's settings for a training of a job. */
export function trainSettings(method: Method, settings: JobSettings, steps = 0): TrainSettings {
  const defaults = defaultTrainSettings();
  return {
    ...defaults,
    objective: { ...defaults.objective, tau: tauOf(method, settings) },
    ...(settings.adapter !== "none" && { adapter: adapterSettings(settings.adapter) }),
    epochs: settings.epochs,
    batch_size: settings.batchSize,
    learning_rate: settings.learningRate,
    seed: settings.seed,
    evaluate_every: Math.ceil(steps / settings.evaluations),
  };
}
