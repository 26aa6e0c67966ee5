import { Data, Samples } from "../../wasm/minift.js";
import type { Model, Texts } from "../../wasm/minift.js";
import { failure } from "./errors.js";
import type { JobSettings } from "./protocol.js";

/** The texts of a job. */
export interface JobTexts {
  domain: Texts;
  /** null takes the last part of the domain's texts. */
  heldOut: Texts | null;
  general: Texts;
}

/** The embedded tickets of which the first are for training, as in the command line. */
const TRAIN_TICKETS = 500;
/** Share of a text that is held out where there is no text of its own for that. */
const HELD_OUT_SHARE = 0.1;

/** Tokenised samples, before settings say how many of them are used. */
export interface Pools {
  train: Samples;
  domain: Samples;
  general: Samples;
}

/** Tokenises texts for a model; what is held out is never trained on, whatever the settings. */
export function pools(model: Model, texts: JobTexts, embedded: boolean, maxLength: number): Pools {
  const all = Samples.tokenize(texts.domain, model, maxLength);
  const general = Samples.tokenize(texts.general, model, maxLength);
  if (texts.heldOut) {
    return { train: all, domain: Samples.tokenize(texts.heldOut, model, maxLength), general };
  }
  if (all.length < 2) {
    throw failure(
      "TooFewSamples",
      "the text has one sample: it takes at least two, one to learn and one to measure what was learnt",
    );
  }
  const heldOut = Math.max(1, Math.round(all.length * HELD_OUT_SHARE));
  const kept = embedded ? TRAIN_TICKETS : all.length - heldOut;
  return { train: all.slice(0, kept), domain: all.slice(kept, all.length), general };
}

/** The samples that settings take from the pools. */
export function select(pools: Pools, settings: JobSettings): Pools {
  return {
    train: pools.train.slice(0, settings.samples),
    domain: pools.domain.slice(0, settings.evaluationSamples),
    general: pools.general.slice(0, settings.evaluationSamples),
  };
}

/** The same for a run. */
export function toData(pools: Pools): Data {
  return new Data(pools.train, pools.domain, pools.general);
}
