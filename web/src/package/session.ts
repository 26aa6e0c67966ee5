import {
  budgetFor,
  countSteps,
  countTokens,
  Device,
  estimateMemory,
  measurePace,
  memoryExcess,
  Model,
  Texts,
} from "../../wasm/minift.js";
import { failure } from "./errors.js";
import type {
  DeviceChoice,
  DeviceInfo,
  JobSettings,
  ModelInfo,
  Pace,
  Plan,
  Problem,
  TextRole,
  Texts as TextsReply,
} from "./protocol.js";
import { pools, select, toData } from "./sets.js";
import type { JobTexts, Pools } from "./sets.js";
import { methodsOf, trainSettings } from "./train-settings.js";

/** A text with the file that it was read from; null for an embedded one. */
export interface LoadedText {
  texts: Texts;
  file: File | null;
  name: string;
}

const EMBEDDED_NAMES: Record<Exclude<TextRole, "held-out">, string> = {
  domain: "bicycle workshop tickets",
  general: "tiny stories",
};

/** What is loaded: a device, a model on it, and texts. */
export class Session {
  #device: Device | null = null;
  /** Those that were opened: a device is there for good, so none is opened twice. */
  readonly #devices = new Map<DeviceChoice, Device>();
  #model: { model: Model; files: File[] | null; name: string | undefined } | null = null;
  readonly #texts = new Map<TextRole, LoadedText>();
  #pools: { maxLength: number; pools: Pools } | null = null;
  #pace: Pace | null = null;

  async open(choice: DeviceChoice): Promise<DeviceInfo> {
    const device = this.#devices.get(choice) ?? (await Device.open(choice));
    this.#devices.set(choice, device);
    this.#device = device;
    this.#pace = null;
    if (this.#model) await this.loadModel(this.#model.files, this.#model.name);
    return device.info();
  }

  async loadModel(files: File[] | null, name?: string): Promise<ModelInfo> {
    const model = await readModel(this.device, files, name);
    this.#model?.model.free();
    this.#model = { model, files, name };
    this.#pools = null;
    this.#pace = null;
    return model.info();
  }

  async loadText(role: TextRole, file: File | null): Promise<TextsReply> {
    const loaded = await readText(role, file);
    this.#texts.set(role, loaded);
    this.#pools = null;
    return { role, name: loaded.name, info: loaded.texts.info() };
  }

  dropText(role: TextRole): void {
    this.#texts.delete(role);
    this.#pools = null;
  }

  get device(): Device {
    return this.#device ?? missing("device");
  }

  get model(): Model {
    return (this.#model ?? missing("model")).model;
  }

  get modelFiles(): File[] | null {
    return (this.#model ?? missing("model")).files;
  }

  text(role: TextRole): LoadedText | null {
    return this.#texts.get(role) ?? null;
  }

  get pace(): Pace | null {
    return this.#pace;
  }

  /** Every sample of the loaded texts, cut to a length. */
  pools(maxLength: number): Pools {
    if (this.#pools?.maxLength !== maxLength) {
      const domain = this.text("domain") ?? missing("text");
      const texts: JobTexts = {
        domain: domain.texts,
        heldOut: this.text("held-out")?.texts ?? null,
        general: (this.text("general") ?? missing("general text")).texts,
      };
      this.#pools = { maxLength, pools: pools(this.model, texts, domain.file === null, maxLength) };
    }
    return this.#pools.pools;
  }

  async measure(settings: JobSettings): Promise<Pace> {
    const data = toData(this.pools(settings.maxLength));
    this.#pace = await measurePace(this.model, data, trainSettings(settings.method, settings));
    return this.#pace;
  }

  /**
   * As many samples as there is time for, and no more evaluations than that; the other settings as
   * they are.
   */
  budget(settings: JobSettings, seconds: number): JobSettings {
    const pools = this.pools(settings.maxLength);
    const data = toData(pools);
    const pace = this.#pace ?? missing("measured step");
    const trainings = methodsOf(settings).length;
    const sized = (evaluations: number): JobSettings => {
      // The untouched model is measured once for all trainings.
      const all = trainings * evaluations + 1;
      const budget = budgetFor(pace, data, seconds, trainings, settings.epochs, all);
      const { samples, evaluation_samples: evaluationSamples } = budget;
      return { ...settings, evaluations, samples, evaluationSamples };
    };
    const fits = (candidate: JobSettings): boolean =>
      (this.#seconds(candidate, select(pools, candidate)) ?? 0) <= seconds;
    // A slow device measures less often.
    let found = sized(settings.evaluations);
    for (let less = settings.evaluations - 1; less > 0 && !fits(found); less--) found = sized(less);
    return found;
  }

  plan(settings: JobSettings): Plan {
    const pools = this.pools(settings.maxLength);
    const problems: Problem[] = [];
    if (settings.samples > pools.train.length) {
      const message = `${settings.samples} samples are asked for, and the text has ${pools.train.length} to train on: all of them are taken`;
      problems.push({ message, stops: false });
    }
    const longest = this.model.info().max_length;
    if (settings.maxLength > longest) {
      const message = `the model was made for ${longest} tokens at most: beyond that it predicts badly`;
      problems.push({ message, stops: false });
    }
    const selected = select(pools, settings);
    const data = toData(selected);
    const first = trainSettings(settings.method, settings);
    const steps = countSteps(first, selected.train.length);
    const memory = estimateMemory(this.model, data, first);
    const excess = memoryExcess(this.model, data, first);
    if (excess) problems.push({ message: excess, stops: true });
    const room = deviceMemory();
    if (room && memory.total > room) {
      const message = `this takes about ${gibibytes(memory.total)} of memory, and the browser reports ${gibibytes(room)} for the whole machine: it may fail`;
      problems.push({ message, stops: false });
    }
    if (settings.prompt) {
      const tokens = this.model.countTokens(settings.prompt);
      if (tokens >= longest) {
        const message = `the prompt has ${tokens} tokens, and the model takes at most ${longest - 1}`;
        problems.push({ message, stops: true });
      }
    }
    return { settings, memory, steps, seconds: this.#seconds(settings, selected), problems };
  }

  /** What a job takes at the measured pace; null where nothing is measured. */
  #seconds(settings: JobSettings, selected: Pools): number | null {
    const pace = this.#pace;
    if (!pace) return null;
    const trainings = methodsOf(settings).length;
    const evaluated = countTokens(selected.domain) + countTokens(selected.general);
    return (
      trainings * settings.epochs * countTokens(selected.train) * pace.training_seconds_per_token +
      (trainings * settings.evaluations + 1) * evaluated * pace.evaluation_seconds_per_token
    );
  }
}

/** The model of a Hugging Face folder's files, or the embedded one. */
export async function readModel(
  device: Device,
  files: File[] | null,
  name = "model",
): Promise<Model> {
  if (!files) return Model.embedded(device);
  const bytes = new Map<string, Uint8Array>();
  for (const file of files) bytes.set(file.name, await bytesOf(file));
  return Model.load(device, name, bytes);
}

/** Looks at one file of a model, and throws what is wrong with it. */
export async function checkModelFile(file: File, name = "model"): Promise<void> {
  Model.checkFile(name, file.name, await bytesOf(file));
}

/** The texts of a file, or the embedded ones. */
export async function readText(role: TextRole, file: File | null): Promise<LoadedText> {
  if (file) return { texts: Texts.parse(file.name, await bytesOf(file)), file, name: file.name };
  if (role === "held-out") throw failure("NoFile", "a held-out text has to be given as a file");
  const texts = role === "domain" ? Texts.tickets() : Texts.tales();
  return { texts, file: null, name: EMBEDDED_NAMES[role] };
}

async function bytesOf(file: File): Promise<Uint8Array> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw failure("Io", `cannot read ${file.name}: ${reason}. Was it changed or moved?`);
  }
}

/** Memory of the machine, where the browser tells: from 8 GiB on it does not say how much more. */
function deviceMemory(): number | null {
  const { deviceMemory } = navigator as { deviceMemory?: number };
  return deviceMemory && deviceMemory < 8 ? deviceMemory * 2 ** 30 : null;
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

function missing(what: string): never {
  throw failure("NotReady", `there is no ${what} yet`);
}
