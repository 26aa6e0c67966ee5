import { defaults } from "../../wasm/defaults.js";
import type { AdapterKind, JobSettings, Method, SampleDomain } from "./protocol.js";

/** Default settings of a job. */
export const defaultSettings: JobSettings = defaults.settings;

/** Default learning rate per kind of adapter. */
export const learningRates = Object.fromEntries(
  defaults.adapters.map(({ kind, learningRate }) => [kind, learningRate]),
) as Record<AdapterKind, number>;

/** Display names of the adapters; `none` trains the weights themselves. */
export const adapterNames = Object.fromEntries(defaults.adapters.map(({ kind, name }) => [kind, name])) as Record<
  AdapterKind,
  string
>;

/** Names of the methods, in lower case. */
export const methodNames = Object.fromEntries(defaults.methods.map(({ method, name }) => [method, name])) as Record<
  Method,
  string
>;

/** Abbreviations of the methods, such as MFT. */
export const methodTitles = Object.fromEntries(defaults.methods.map(({ method, title }) => [method, title])) as Record<
  Method,
  string
>;

/** Names of the sample domains; the first is the default. */
export const sampleDomains = Object.fromEntries(defaults.domains.map(({ domain, name }) => [domain, name])) as Record<
  SampleDomain,
  string
>;

/** Prompt for the default domain text. */
export const embeddedPrompt: string = defaults.embeddedPrompt;

/** Training samples of the embedded domain text; the rest is held out. */
export const embeddedTrainingSamples: number = defaults.embeddedTrainingSamples;

/** All methods. */
export const allMethods: Method[] = defaults.methods.map(({ method }) => method);

/** Whether a method trains on general text, too. */
export function needsGeneralText(method: Method): boolean {
  return defaults.methods.some((info) => info.method === method && info.needsGeneralText);
}

/** Returns the methods of the trainings of a job, in order. */
export function methodsOf({ method, compare }: JobSettings): Method[] {
  return [...new Set([method, ...compare])];
}

/** Returns the settings of a job that an earlier version stored. */
export function completeSettings(stored: JobSettings): JobSettings {
  // Earlier versions compared minifinetuning with plain finetuning alone.
  const compare: unknown = stored.compare;
  const compared = compare === true && stored.method === "mft" ? (["ft"] as Method[]) : [];
  return { ...defaultSettings, ...stored, compare: Array.isArray(compare) ? compare : compared };
}
