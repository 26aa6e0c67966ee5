import { defaultSettings } from "../package/index.js";
import type { AdapterKind, DeviceChoice, JobSettings } from "../package/index.js";

/** Settings that are numbers. */
export type NumberKey = {
  [K in keyof JobSettings]: JobSettings[K] extends number ? K : never;
}[keyof JobSettings];

/** How a number is asked for. */
export interface NumberField {
  key: NumberKey;
  /** Its name in a link. */
  link: string;
  label: string;
  /** One line that says what it does. */
  help: string;
  min: number;
  max: number;
  /** Distance of what the arrow keys do; whole numbers only where `whole` is set. */
  step: number;
  whole: boolean;
}

/** Every number, in the order of the form. */
export const NUMBER_FIELDS: readonly NumberField[] = [
  {
    key: "tau",
    link: "tau",
    label: "Margin τ",
    help: "How far the right token must lead. Smaller keeps more of what the model knew; 1 is plain finetuning.",
    min: 0,
    max: 1,
    step: 0.05,
    whole: false,
  },
  {
    key: "samples",
    link: "samples",
    label: "Samples",
    help: "How many texts of the domain are learnt; the rest is left alone.",
    min: 1,
    max: 1_000_000,
    step: 1,
    whole: true,
  },
  {
    key: "epochs",
    link: "epochs",
    label: "Epochs",
    help: "How often every sample is seen.",
    min: 1,
    max: 1000,
    step: 1,
    whole: true,
  },
  {
    key: "learningRate",
    link: "lr",
    label: "Learning rate",
    help: "Size of a step. Models of more than some hundred million parameters want 0.0001 or less.",
    min: 1e-8,
    max: 1,
    step: 0.0001,
    whole: false,
  },
  {
    key: "batchSize",
    link: "batch",
    label: "Batch size",
    help: "Samples in one step; fewer take less memory.",
    min: 1,
    max: 1024,
    step: 1,
    whole: true,
  },
  {
    key: "maxLength",
    link: "length",
    label: "Length",
    help: "Tokens of a sample at most; longer ones are cut. Shorter takes less memory.",
    min: 2,
    max: 32_768,
    step: 1,
    whole: true,
  },
  {
    key: "evaluationSamples",
    link: "eval",
    label: "Evaluation samples",
    help: "Held-out texts of each set that perplexities are measured on; more are surer and slower.",
    min: 1,
    max: 1_000_000,
    step: 1,
    whole: true,
  },
  {
    key: "evaluations",
    link: "evals",
    label: "Evaluations",
    help: "How often each training is measured, its end included.",
    min: 1,
    max: 100,
    step: 1,
    whole: true,
  },
  {
    key: "seed",
    link: "seed",
    label: "Seed",
    help: "Fixes the order of the samples: the same seed gives the same run.",
    min: 0,
    max: 4_294_967_295,
    step: 1,
    whole: true,
  },
];

/** The greatest prompt that is taken, in characters. */
export const MAX_PROMPT = 2000;

/** Adapters to choose from. */
export const ADAPTERS: readonly AdapterKind[] = ["none", "lora", "dora", "ia3"];

/** Devices to choose from. */
export const DEVICE_CHOICES: readonly DeviceChoice[] = ["auto", "gpu", "cpu"];

/** The field of a key. */
export function field(key: NumberKey): NumberField {
  const found = NUMBER_FIELDS.find((candidate) => candidate.key === key);
  if (!found) throw new Error(`there is no field for ${key}`);
  return found;
}

/** What is wrong with a number, in words; null where nothing is. */
export function complaint({ min, max, whole, key }: NumberField, text: string): string | null {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) {
    return `Give a number, such as ${defaultSettings[key]}.`;
  }
  if (whole && !Number.isInteger(value)) return "Give a whole number.";
  if (value < min) return `The least is ${min}.`;
  if (value > max) return `The most is ${max.toLocaleString("en")}.`;
  return null;
}
