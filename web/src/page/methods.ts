import type { JobSettings, Method } from "../package/index.js";
import { methodsOf } from "../package/index.js";
import type { NumberKey } from "./fields.js";

interface MethodText {
  label: string;
  help: string;
  /** The setting that trades gain against forgetting; null for a method without one. */
  strength: NumberKey | null;
}

/** The methods in the order in which the page shows them. */
export const METHODS: Record<Method, MethodText> = {
  mft: {
    label: "Minifinetuning (MFT)",
    help: "Learns the domain and preserves general ability.",
    strength: "tau",
  },
  ft: { label: "Plain finetuning (FT)", help: "Learns the domain and forgets more.", strength: null },
  flow: {
    label: "FT of easy samples (FLOW)",
    help: "Weighs every sample by how well the untouched model predicts it.",
    strength: null,
  },
  finch: {
    label: "FT with a loss-adaptive learning rate (FINCH)",
    help: "Takes smaller steps where the loss is high.",
    strength: null,
  },
  replay: {
    label: "FT with replay",
    help: "Mixes general text into every batch: a file, or text that the model writes.",
    strength: "replayRatio",
  },
  ewc: {
    label: "FT with elastic weight consolidation (EWC)",
    help: "Penalizes changes to weights that matter for general text.",
    strength: "ewc",
  },
  constant: {
    label: "Constant mixture",
    help: "Mixes label and prediction in the same proportion for every token.",
    strength: "alpha",
  },
  selective: {
    label: "Selective targets",
    help: "Trains on the label where the model finds it likely enough.",
    strength: "selectiveThreshold",
  },
  stm: {
    label: "Selective token masking (STM)",
    help: "Skips tokens that the model finds too unlikely.",
    strength: "stmThreshold",
  },
  dft: {
    label: "Dynamic finetuning (DFT)",
    help: "Weighs every token by its current probability.",
    strength: null,
  },
  asft: {
    label: "Anchored finetuning (ASFT)",
    help: "DFT with a penalty on the divergence from the untouched model.",
    strength: "anchor",
  },
  eaft: {
    label: "Entropy-adaptive finetuning (EAFT)",
    help: "Weighs every token by the entropy of the prediction.",
    strength: "eaftGamma",
  },
  talr: {
    label: "Token-adaptive loss reweighting (TALR)",
    help: "Weighs every token by a power of its current probability.",
    strength: "talrGamma",
  },
};

/** Methods that the page shows under Advanced. */
export const OTHER_METHODS = (Object.keys(METHODS) as Method[]).filter((method) => method !== "mft" && method !== "ft");

/** Returns whether a setting has an effect: the strength of a method only with that method. */
export function hasEffect(key: NumberKey, settings: JobSettings): boolean {
  const owners = (Object.keys(METHODS) as Method[]).filter((method) => METHODS[method].strength === key);
  return owners.length === 0 || owners.some((method) => methodsOf(settings).includes(method));
}
