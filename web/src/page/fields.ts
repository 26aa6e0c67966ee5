import type { AdapterKind, DeviceChoice, JobSettings } from "../package/index.js";
import { adapterNames, defaultSettings } from "../package/index.js";

/** Keys of the numeric settings. */
export type NumberKey = {
  [K in keyof JobSettings]-?: JobSettings[K] extends number ? K : never;
}[keyof JobSettings];

/** The form field of a numeric setting. */
export interface NumberField {
  key: NumberKey;
  /** Parameter name in a link. */
  link: string;
  label: string;
  /** One line of help. */
  help: string;
  min: number;
  max: number;
  /** Increment of the arrow keys. */
  step: number;
  /** Whether only integers are valid. */
  whole: boolean;
}

/** Numeric settings, in the order of links and reports. */
export const NUMBER_FIELDS: readonly NumberField[] = [
  {
    key: "tau",
    link: "tau",
    label: "Margin τ",
    help: "Margin by which the correct token must lead. Smaller values preserve more of the model; 1 is plain finetuning.",
    min: 0,
    max: 1,
    step: 0.05,
    whole: false,
  },
  {
    key: "replayRatio",
    link: "replay",
    label: "Replayed share",
    help: "Share of replayed text in every batch.",
    min: 0,
    max: 0.9,
    step: 0.05,
    whole: false,
  },
  {
    key: "ewc",
    link: "ewc",
    label: "EWC strength λ",
    help: "Larger values preserve more of the model.",
    min: 0,
    max: 1e9,
    step: 1,
    whole: false,
  },
  {
    key: "alpha",
    link: "alpha",
    label: "Mixture α",
    help: "Share of the label in the target. Smaller values preserve more of the model.",
    min: 0,
    max: 1,
    step: 0.05,
    whole: false,
  },
  {
    key: "selectiveThreshold",
    link: "selective",
    label: "Selective threshold θ",
    help: "Probability from which on a label is trained.",
    min: 0,
    max: 1,
    step: 0.01,
    whole: false,
  },
  {
    key: "stmThreshold",
    link: "stm",
    label: "Masking threshold θ",
    help: "Probability from which on a label is trained.",
    min: 0,
    max: 1,
    step: 0.05,
    whole: false,
  },
  {
    key: "anchor",
    link: "anchor",
    label: "Anchor λ",
    help: "Weight of the divergence from the untouched model.",
    min: 0,
    max: 1e6,
    step: 0.05,
    whole: false,
  },
  {
    key: "eaftGamma",
    link: "eaft",
    label: "Entropy exponent γ",
    help: "0 is plain finetuning.",
    min: 0,
    max: 100,
    step: 0.5,
    whole: false,
  },
  {
    key: "talrGamma",
    link: "talr",
    label: "Probability exponent γ",
    help: "0 is plain finetuning.",
    min: 0,
    max: 100,
    step: 0.5,
    whole: false,
  },
  {
    key: "samples",
    link: "samples",
    label: "Samples",
    help: "Number of domain samples to train on.",
    min: 1,
    max: 1_000_000,
    step: 1,
    whole: true,
  },
  {
    key: "epochs",
    link: "epochs",
    label: "Epochs",
    help: "Number of passes over the samples.",
    min: 1,
    max: 1000,
    step: 1,
    whole: true,
  },
  {
    key: "learningRate",
    link: "lr",
    label: "Learning rate",
    help: "Step size of the optimizer. Use 0.0001 or less for models above a few hundred million parameters.",
    min: 1e-8,
    max: 1,
    step: 0.0001,
    whole: false,
  },
  {
    key: "batchSize",
    link: "batch",
    label: "Batch size",
    help: "Samples per step; fewer use less memory.",
    min: 1,
    max: 1024,
    step: 1,
    whole: true,
  },
  {
    key: "maxLength",
    link: "length",
    label: "Max length",
    help: "Maximum tokens per sample; longer samples are truncated. Shorter uses less memory.",
    min: 2,
    max: 32_768,
    step: 1,
    whole: true,
  },
  {
    key: "evaluationSamples",
    link: "eval",
    label: "Evaluation samples",
    help: "Samples per set for perplexity; more are more precise and slower.",
    min: 1,
    max: 1_000_000,
    step: 1,
    whole: true,
  },
  {
    key: "evaluations",
    link: "evals",
    label: "Evaluations",
    help: "Evaluations per training, including the final one.",
    min: 1,
    max: 100,
    step: 1,
    whole: true,
  },
  {
    key: "seed",
    link: "seed",
    label: "Seed",
    help: "Seed of the sample order; the same seed reproduces the run.",
    min: 0,
    max: 4_294_967_295,
    step: 1,
    whole: true,
  },
];

/** Maximum prompt length, in characters. */
export const MAX_PROMPT = 2000;

/** Available adapters. */
export const ADAPTERS = Object.keys(adapterNames) as readonly AdapterKind[];

/** Available device choices. */
export const DEVICE_CHOICES: readonly DeviceChoice[] = ["auto", "gpu", "cpu"];

/** Returns the field of a key. */
export function field(key: NumberKey): NumberField {
  const found = NUMBER_FIELDS.find((candidate) => candidate.key === key);
  if (!found) throw new Error(`no field for ${key}`);
  return found;
}

/** Returns why a number is invalid; null if it is valid. */
export function complaint({ min, max, whole, key }: NumberField, text: string): string | null {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) {
    return `Enter a number, such as ${defaultSettings[key]}.`;
  }
  if (whole && !Number.isInteger(value)) return "Enter a whole number.";
  if (value < min) return `The minimum is ${min}.`;
  if (value > max) return `The maximum is ${max.toLocaleString("en")}.`;
  return null;
}
