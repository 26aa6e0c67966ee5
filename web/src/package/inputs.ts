import type { Device, Model, Samples } from "../../wasm/minift.js";
import { describeDevice, describeSetup } from "../../wasm/minift.js";
import type { Job, JobSettings, Method } from "./protocol.js";
import type { LoadedText } from "./session.js";
import { readModel, readText } from "./session.js";
import type { Pools } from "./sets.js";
import { isDefault, pools, select } from "./sets.js";
import { methodsOf } from "./settings.js";
import type { JobFolder } from "./storage.js";

/** The inputs of a job. */
export interface Inputs {
  device: Device;
  model: Model;
  domain: LoadedText;
  heldOut: LoadedText | null;
  general: LoadedText;
  /** General text to train on; null for text that the untouched model generates. */
  replay: LoadedText | null;
}

const MODEL = "input/model";
/** The sections of run.json about model and data, and about the device. */
export const SETUP = "setup.json";
export const DEVICE = "device.json";
const textPath = (role: string): string => `input/${role}`;

/** Stores the inputs that resuming a job requires after the page was closed. */
export async function store(job: Job, folder: JobFolder, inputs: Inputs, modelFiles: File[] | null): Promise<void> {
  for (const file of modelFiles ?? []) await folder.write(`${MODEL}/${file.name}`, file);
  const { domain, heldOut, general, replay } = inputs;
  const texts = { domain, "held-out": heldOut, general, replay };
  for (const [role, text] of Object.entries(texts)) {
    if (text?.file) await folder.write(`${textPath(role)}/${text.file.name}`, text.file);
  }
  await folder.write(DEVICE, describeDevice(inputs.device));
  await storeSetup(job, folder, inputs, null);
  await folder.writeRecord(job);
}

/** Stores the section of run.json about model and data; `generalText` is what methods train on beside the domain. */
export async function storeSetup(
  job: Job,
  folder: JobFolder,
  inputs: Inputs,
  generalText: Samples | null,
): Promise<void> {
  const { train, domain, general } = selected(inputs, job.settings);
  const methods = methodsOf(job.settings);
  // The call takes what it is given.
  const of = (method: Method): Samples | null =>
    generalText && methods.includes(method) ? generalText.slice(0, generalText.length) : null;
  const { maxLength } = job.settings;
  const setup = describeSetup(inputs.model, maxLength, train, domain, general, of("replay"), of("ewc"));
  await folder.write(SETUP, setup);
}

/** Reads the inputs written by {@link store}. */
export async function restoreInputs(job: Job, folder: JobFolder, device: Device): Promise<Inputs> {
  const stored = async (role: string): Promise<File | null> => (await folder.readAll(textPath(role)))[0] ?? null;
  const [heldOut, replay] = [await stored("held-out"), await stored("replay")];
  const files = job.model.embedded ? null : await folder.readAll(MODEL);
  return {
    device,
    model: await readModel(device, files, job.model.name, job.model.weights),
    domain: await readText("domain", (await stored("domain")) ?? job.texts.sample ?? null),
    heldOut: heldOut && (await readText("held-out", heldOut)),
    general: await readText("general", await stored("general")),
    replay: replay && (await readText("replay", replay)),
  };
}

/** Returns the samples of a job. */
export function selected(inputs: Inputs, settings: JobSettings): Pools {
  const texts = {
    domain: inputs.domain.texts,
    heldOut: inputs.heldOut?.texts ?? null,
    general: inputs.general.texts,
  };
  return select(pools(inputs.model, texts, isDefault(inputs.domain), settings.maxLength), settings);
}
