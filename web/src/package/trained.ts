import type { Model, Samples } from "../../wasm/minift.js";
import { Conversation, Dial, Measurement } from "../../wasm/minift.js";
import { failure, toFailure } from "./errors.js";
import type { Inputs } from "./inputs.js";
import { selected } from "./inputs.js";
import type { Answer, DialPoint, GgufFiles, GgufType, Job, Method, Training, Voice } from "./protocol.js";
import { modelPath, pointOf, trainedFiles } from "./runner.js";
import { readModel } from "./session.js";
import type { JobFolder } from "./storage.js";
import { yieldToMessages } from "./yield.js";

const CONTINUATION_TOKENS = 32;
/** Samples per set to measure on where no front says how many. */
const SAMPLES = 16;
const DEFAULT_TOKENS = 128;

/** Random seeds of answers: a 32-bit integer. */
const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;

/** A conversation of a voice, with the model that it speaks with. */
interface Speaker {
  weight: number;
  conversation: Conversation;
}

/** The finished trainings of a job: their strength, their models, and conversations with them. */
export class Trained {
  readonly id: string;
  readonly #folder: JobFolder;
  readonly #inputs: Inputs;
  /** Whether the inputs were loaded for this alone. */
  readonly #ownsInputs: boolean;
  readonly #dials = new Map<Method, Dial>();
  readonly #speakers = new Map<Method | null, Speaker>();
  #sets: { domain: Samples; general: Samples } | null = null;

  constructor(id: string, folder: JobFolder, inputs: Inputs, ownsInputs: boolean) {
    this.id = id;
    this.#folder = folder;
    this.#inputs = inputs;
    this.#ownsInputs = ownsInputs;
  }

  /** Frees the models. */
  free(): void {
    this.clearChat();
    for (const dial of this.#dials.values()) dial.free();
    this.#dials.clear();
    if (this.#ownsInputs) this.#inputs.model.free();
  }

  /** Returns the files of a training at a strength. */
  async files(method: Method, weight: number): Promise<File[]> {
    if (weight === 1) return trainedFiles(this.#folder, method);
    const model = await this.#model(method, weight);
    try {
      const files: File[] = [];
      for (const [name, bytes] of await model.files()) files.push(new File([bytes as BlobPart], name));
      return files;
    } finally {
      model.free();
    }
  }

  /** Returns the model of a training at a strength in GGUF, with the `Modelfile` with which Ollama imports it. */
  async gguf(job: Job, method: Method, kind: GgufType, weight: number): Promise<GgufFiles> {
    const base = job.model.name.replace(/\.gguf$/i, "");
    const name = `${base}-${method}${weight === 1 ? "" : `-at-${weight}`}`;
    const fileName = `${name}-${kind}.gguf`;
    const model = await this.#model(method, weight);
    try {
      const written = await model.toGguf(kind, { name, base, data: job.texts.domain, method });
      try {
        const files = [new File(written.parts, fileName), new File([model.modelfile(fileName)], "Modelfile")];
        return { files, notes: written.notes };
      } finally {
        written.free();
      }
    } finally {
      model.free();
    }
  }

  /** Measures a training at a strength; throws once `isNewest` returns false. `tell` receives the parts. */
  async dial(
    job: Job,
    { method, front, finished }: Training,
    weight: number,
    isNewest: () => boolean,
    tell: (point: DialPoint) => void,
  ): Promise<DialPoint> {
    if (!finished) throw failure("NotFinished", "this training is not finished");
    const model = await this.#model(method, weight);
    const { domain, general } = this.#samples(job);
    const measurement = new Measurement(
      model,
      domain.spread(front?.domainSamples ?? SAMPLES),
      general.spread(front?.generalSamples ?? SAMPLES),
      job.settings.batchSize,
    );
    try {
      const untouched = front?.untouched ?? job.trainings[0]?.evaluations[0];
      const empty = { measured: null, domainChoices: null, generalChoices: null, continuation: null };
      let point: DialPoint = { weight, ...empty };
      const { prompt } = job.settings;
      for (;;) {
        await yieldToMessages();
        if (!isNewest()) throw failure("Superseded", "another strength was chosen");
        if (point.measured && point.continuation === null && prompt) {
          point = { ...point, continuation: await model.generate(prompt, CONTINUATION_TOKENS) };
          tell(point);
        }
        const found = await measurement.next();
        if (!found) return point;
        const { perplexities, domain: domainChoices, general: generalChoices } = found;
        if (!perplexities) continue;
        const isNew = !point.measured || domainChoices !== null || generalChoices !== null;
        const measured = pointOf(weight, untouched ?? perplexities, perplexities);
        point = { ...point, measured, domainChoices, generalChoices };
        if (isNew) tell(point);
      }
    } finally {
      measurement.free();
      model.free();
    }
  }

  /** Whether the model has a chat template. */
  get hasTemplate(): boolean {
    return this.#inputs.model.hasChatTemplate;
  }

  /** Ends all conversations. */
  clearChat(): void {
    for (const { conversation } of this.#speakers.values()) conversation.free();
    this.#speakers.clear();
  }

  /** Lets every voice answer, a token of each at a time, until `isStopped`. */
  async answer(
    voices: Voice[],
    { text, maxTokens = DEFAULT_TOKENS, temperature = 0 }: { text: string; maxTokens?: number; temperature?: number },
    isStopped: () => boolean,
    tell: (voice: number, piece: string) => void,
  ): Promise<Answer[]> {
    const seed = randomSeed();
    const answers: Answer[] = voices.map(() => ({ text: "", error: null }));
    const speaking = new Map<number, Conversation>();
    const refuse = (voice: number, error: unknown): void => {
      const failed = toFailure(error);
      // A crash ends the worker.
      if (failed.kind === "Crash") throw error;
      answers[voice] = { text: "", error: failed.message };
    };
    for (const [index, voice] of voices.entries()) {
      try {
        const conversation = await this.#speaker(voice);
        conversation.begin(text, maxTokens, temperature, seed);
        speaking.set(index, conversation);
      } catch (error) {
        refuse(index, error);
      }
    }
    const active = new Map(speaking);
    while (active.size > 0 && !isStopped()) {
      for (const [index, conversation] of active) {
        await yieldToMessages();
        const piece = await conversation.next();
        if (piece === undefined) active.delete(index);
        else if (piece) tell(index, piece);
      }
    }
    for (const [index, conversation] of speaking) answers[index] = { text: conversation.finish(), error: null };
    return answers;
  }

  async #speaker({ method, weight }: Voice): Promise<Conversation> {
    const known = this.#speakers.get(method);
    if (known?.weight === weight) return known.conversation;
    const model = method === null ? null : await this.#model(method, weight);
    try {
      const spoken = model ?? this.#inputs.model;
      const conversation = known?.conversation ?? new Conversation(spoken);
      if (known) conversation.setModel(spoken);
      this.#speakers.set(method, { weight, conversation });
      return conversation;
    } finally {
      model?.free();
    }
  }

  /** Returns a training's model at a strength. */
  async #model(method: Method, weight: number): Promise<Model> {
    let dial = this.#dials.get(method);
    if (!dial) {
      const trained = await this.#load(method);
      try {
        dial = new Dial(this.#inputs.model, trained);
      } finally {
        trained.free();
      }
      this.#dials.set(method, dial);
    }
    return dial.at(weight);
  }

  /** Loads the stored model of a finished training. */
  async #load(method: Method): Promise<Model> {
    const files = await trainedFiles(this.#folder, method);
    const bytes = async (name: string): Promise<Uint8Array | null> => {
      const file = files.find((file) => file.name === name);
      return file ? new Uint8Array(await file.arrayBuffer()) : null;
    };
    const [config, values] = [await bytes("adapter_config.json"), await bytes("adapter_model.safetensors")];
    if (config && values) return this.#inputs.model.withAdapter(config, values);
    return readModel(this.#inputs.device, files, modelPath(method));
  }

  #samples(job: Job): { domain: Samples; general: Samples } {
    this.#sets ??= selected(this.#inputs, job.settings);
    return this.#sets;
  }
}
