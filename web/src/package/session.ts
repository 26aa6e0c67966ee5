import {
  budgetFor,
  countSteps,
  countTokens,
  Device,
  estimateMemory,
  Model,
  measurePace,
  memoryAdvice,
  memoryExcess,
  Texts,
  trainSettings,
} from "../../wasm/minift.js";
import { failure } from "./errors.js";
import type {
  DeviceChoice,
  DeviceInfo,
  JobSettings,
  Method,
  ModelInfo,
  Pace,
  Plan,
  Problem,
  SampleDomain,
  SetPreview,
  TextRole,
  TextSource,
  Texts as TextsReply,
  WeightChoice,
} from "./protocol.js";
import type { JobTexts, Pools } from "./sets.js";
import { isDefault, pools, select, toData, tokenize } from "./sets.js";
import { methodsOf, needsGeneralText, sampleDomains } from "./settings.js";

/** The time that measuring the front takes, as a share of that of the training. */
export const FRONT_SHARE = 0.1;

/** A text with its file, or the sample domain that it is; both are null for the default text of a role. */
export interface LoadedText {
  texts: Texts;
  file: File | null;
  sample: SampleDomain | null;
  name: string;
}

/** A model and where it is from; its files are null for the embedded model. */
interface LoadedModel {
  model: Model;
  files: File[] | null;
  name: string | undefined;
  weights: WeightChoice;
}

/** Name of the embedded general text. */
const TALES = "tiny stories";

/** The loaded device, model and texts. */
export class Session {
  #device: Device | null = null;
  /** Opened devices; a device is never released, so each is opened once. */
  readonly #devices = new Map<DeviceChoice, Device>();
  #model: LoadedModel | null = null;
  readonly #texts = new Map<TextRole, LoadedText>();
  #pools: { maxLength: number; pools: Pools } | null = null;
  #pace: Pace | null = null;

  async open(choice: DeviceChoice): Promise<DeviceInfo> {
    const device = this.#devices.get(choice) ?? (await Device.open(choice));
    this.#devices.set(choice, device);
    this.#device = device;
    this.#pace = null;
    if (this.#model) await this.loadModel(this.#model.files, this.#model.name, this.#model.weights);
    return device.info();
  }

  async loadModel(files: File[] | null, name?: string, weights: WeightChoice = "auto"): Promise<ModelInfo> {
    const model = await readModel(this.device, files, name, weights);
    this.#model?.model.free();
    this.#model = { model, files, name, weights };
    this.#pools = null;
    this.#pace = null;
    return model.info();
  }

  async loadText(role: TextRole, source: TextSource): Promise<TextsReply> {
    const loaded = await readText(role, source);
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

  get weights(): WeightChoice {
    return (this.#model ?? missing("model")).weights;
  }

  text(role: TextRole): LoadedText | null {
    return this.#texts.get(role) ?? null;
  }

  get pace(): Pace | null {
    return this.#pace;
  }

  /** Returns all samples of the loaded texts, truncated to a length. */
  pools(maxLength: number): Pools {
    if (this.#pools?.maxLength !== maxLength) {
      const domain = this.text("domain") ?? missing("text");
      const texts: JobTexts = {
        domain: domain.texts,
        heldOut: this.text("held-out")?.texts ?? null,
        general: (this.text("general") ?? missing("general text")).texts,
      };
      this.#pools = { maxLength, pools: pools(this.model, texts, isDefault(domain), maxLength) };
    }
    return this.#pools.pools;
  }

  /** Shows how the text of a role is tokenized; without a held-out text, the held-out part of the domain text. */
  preview(role: TextRole, maxLength: number): SetPreview {
    const text = this.text(role);
    const samples = text ? tokenize(text.texts, this.model, maxLength) : this.pools(maxLength).domain;
    try {
      return samples.preview(this.model);
    } finally {
      if (text) samples.free();
    }
  }

  async measure(settings: JobSettings): Promise<Pace> {
    const data = toData(this.pools(settings.maxLength));
    this.#pace = await measurePace(this.model, data, trainSettings(settings, withoutGeneralText(settings.method), 0));
    return this.#pace;
  }

  /** Sets the number of samples and evaluations that fit into a time; keeps the other settings. */
  budget(settings: JobSettings, seconds: number): JobSettings {
    const pools = this.pools(settings.maxLength);
    const data = toData(pools);
    const pace = this.#pace ?? missing("pace");
    const trainings = methodsOf(settings).length;
    const sized = (evaluations: number): JobSettings => {
      // The untouched model is evaluated once for all trainings.
      const all = trainings * evaluations + 1;
      const budget = budgetFor(pace, data, seconds / (1 + FRONT_SHARE), trainings, settings.epochs, all);
      const { samples, evaluation_samples: evaluationSamples } = budget;
      return { ...settings, evaluations, samples, evaluationSamples };
    };
    const fits = (candidate: JobSettings): boolean =>
      (this.#seconds(candidate, select(pools, candidate)) ?? 0) <= seconds;
    // A slow device evaluates less often.
    let found = sized(settings.evaluations);
    for (let less = settings.evaluations - 1; less > 0 && !fits(found); less--) found = sized(less);
    return found;
  }

  plan(settings: JobSettings): Plan {
    const pools = this.pools(settings.maxLength);
    const problems: Problem[] = [];
    if (settings.samples > pools.train.length) {
      const message = `${settings.samples} samples are requested, but the text has ${pools.train.length} to train on: all of them are used`;
      problems.push({ message, stops: false });
    }
    const longest = this.model.info().max_length;
    if (settings.maxLength > longest) {
      const message = `the model supports at most ${longest} tokens: it predicts poorly beyond that`;
      problems.push({ message, stops: false });
    }
    const selected = select(pools, settings);
    const data = toData(selected);
    const first = trainSettings(settings, settings.method, 0);
    const steps = countSteps(first, selected.train.length);
    const plain = trainSettings(settings, withoutGeneralText(settings.method), 0);
    const memory = estimateMemory(this.model, data, plain);
    const excess = memoryExcess(this.model, data, plain);
    if (excess) problems.push({ message: excess, stops: true });
    const advice = excess ? (memoryAdvice(this.model, data, settings, settings.method) ?? null) : null;
    const room = deviceMemory();
    if (room && memory.total > room) {
      const message = `this requires about ${gibibytes(memory.total)} of memory, but the browser reports ${gibibytes(room)} for the whole machine: it may fail`;
      problems.push({ message, stops: false });
    }
    if (settings.prompt) {
      const tokens = this.model.countTokens(settings.prompt);
      if (tokens >= longest) {
        const message = `the prompt has ${tokens} tokens, but the model supports at most ${longest - 1}`;
        problems.push({ message, stops: true });
      }
    }
    return { settings, memory, steps, seconds: this.#seconds(settings, selected), problems, advice };
  }

  /** Estimates the duration of a job from the measured pace; null if not measured. */
  #seconds(settings: JobSettings, selected: Pools): number | null {
    const pace = this.#pace;
    if (!pace) return null;
    const trainings = methodsOf(settings).length;
    const evaluated = countTokens(selected.domain) + countTokens(selected.general);
    return (
      (1 + FRONT_SHARE) * trainings * settings.epochs * countTokens(selected.train) * pace.training_seconds_per_token +
      (trainings * settings.evaluations + 1) * evaluated * pace.evaluation_seconds_per_token
    );
  }
}

/** Returns a method of the same target that trains on the domain alone: general text is not loaded before a run. */
function withoutGeneralText(method: Method): Method {
  return needsGeneralText(method) ? "ft" : method;
}

/** Loads a model from the files of a Hugging Face folder or in GGUF, or the embedded model. */
export async function readModel(
  device: Device,
  files: File[] | null,
  name = "model",
  weights: WeightChoice = "auto",
): Promise<Model> {
  if (!files) return Model.embedded(device);
  const bytes = new Map<string, Uint8Array>();
  for (const file of files) bytes.set(file.name, await bytesOf(file));
  return Model.load(device, name, bytes, weights);
}

/** Checks one file of a model; throws if it is invalid. */
export async function checkModelFile(file: File, name = "model"): Promise<void> {
  Model.checkFile(name, file.name, await bytesOf(file));
}

/** Loads a text. */
export async function readText(role: TextRole, source: TextSource): Promise<LoadedText> {
  if (source instanceof File) {
    return { texts: Texts.parse(source.name, await bytesOf(source)), file: source, sample: null, name: source.name };
  }
  if (!source && role === "general") return { texts: Texts.tales(), file: null, sample: null, name: TALES };
  if (!source && role !== "domain") throw failure("NoFile", `a ${role} text must be a file`);
  const domain = source ?? "tickets";
  return { texts: Texts.domain(domain), file: null, sample: source, name: sampleDomains[domain] };
}

async function bytesOf(file: File): Promise<Uint8Array> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw failure("Io", `cannot read ${file.name}: ${reason}. Was it modified or moved?`);
  }
}

/** Returns the machine's memory where the browser reports it; reports are capped at 8 GiB. */
function deviceMemory(): number | null {
  const { deviceMemory } = navigator as { deviceMemory?: number };
  return deviceMemory && deviceMemory < 8 ? deviceMemory * 2 ** 30 : null;
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

function missing(what: string): never {
  throw failure("NotReady", `no ${what} is loaded`);
}
