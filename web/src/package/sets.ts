import type { Model, Texts } from "../../wasm/minift.js";
import { Data, Samples } from "../../wasm/minift.js";
import { failure } from "./errors.js";
import type { JobSettings } from "./protocol.js";
import type { LoadedText } from "./session.js";
import { embeddedTrainingSamples } from "./settings.js";

/** The texts of a job. */
export interface JobTexts {
  domain: Texts;
  /** null holds out the last part of the domain texts. */
  heldOut: Texts | null;
  general: Texts;
}

/** Largest accepted length of samples, in tokens. */
const MAX_LENGTH = 2 ** 31 - 1;
/** Held-out share of the domain text when no held-out text is given. */
const HELD_OUT_SHARE = 0.1;

/** All tokenized samples; the settings select how many are used. */
export interface Pools {
  train: Samples;
  domain: Samples;
  general: Samples;
}

/** Whether a domain text is the default one, whose last part is always held out. */
export function isDefault({ file, sample }: LoadedText): boolean {
  return file === null && (sample === null || sample === "tickets");
}

/** Tokenizes texts for a model. */
export function tokenize(texts: Texts, model: Model, maxLength: number): Samples {
  // WebAssembly would take the remainder of other numbers.
  if (!Number.isSafeInteger(maxLength) || maxLength < 0 || maxLength > MAX_LENGTH) {
    throw failure("InvalidSetting", `max_length = ${maxLength}: expected an integer from 2 to ${MAX_LENGTH}`);
  }
  return Samples.tokenize(texts, model, maxLength);
}

/** Tokenizes texts for a model. Held-out samples are never trained on, regardless of the settings. */
export function pools(model: Model, texts: JobTexts, embedded: boolean, maxLength: number): Pools {
  const all = tokenize(texts.domain, model, maxLength);
  const general = tokenize(texts.general, model, maxLength);
  if (texts.heldOut) {
    return { train: all, domain: tokenize(texts.heldOut, model, maxLength), general };
  }
  if (all.length < 2) {
    throw failure(
      "TooFewSamples",
      "the domain text has one sample; at least two are required, one to train on and one to hold out",
    );
  }
  const heldOut = Math.max(1, Math.round(all.length * HELD_OUT_SHARE));
  const kept = embedded ? embeddedTrainingSamples : all.length - heldOut;
  return { train: all.slice(0, kept), domain: all.slice(kept, all.length), general };
}

/** Selects the samples that the settings ask for. */
export function select(pools: Pools, settings: JobSettings): Pools {
  return {
    train: pools.train.slice(0, settings.samples),
    domain: pools.domain.slice(0, settings.evaluationSamples),
    general: pools.general.slice(0, settings.evaluationSamples),
  };
}

/** Converts the samples to the data of a run. */
export function toData(pools: Pools): Data {
  return new Data(pools.train, pools.domain, pools.general);
}
