import type { Device, Event, Model, Perplexities } from "../../wasm/minift.js";
import { describeDevice, describeSetup, metrics, Run, runJson, trainSettings } from "../../wasm/minift.js";
import { failure, toFailure } from "./errors.js";
import { applyEvent } from "./job.js";
import type { Evaluation, Job, JobEvent, JobSettings, Method, Training } from "./protocol.js";
import type { LoadedText } from "./session.js";
import { readModel, readText } from "./session.js";
import type { Pools } from "./sets.js";
import { isDefault, pools, select, toData } from "./sets.js";
import { methodsOf } from "./settings.js";
import type { JobFolder } from "./storage.js";

/** The inputs of a job. */
export interface Inputs {
  device: Device;
  model: Model;
  domain: LoadedText;
  heldOut: LoadedText | null;
  general: LoadedText;
}

const CONTINUATION_TOKENS = 32;
/** Milliseconds between checkpoints. */
const CHECKPOINT_INTERVAL = 10_000;
/** Checkpoints are at least this many times as far apart as writing one takes. */
const CHECKPOINT_SHARE = 20;

const MODEL = "input/model";
const SETUP = "setup.json";
const DEVICE = "device.json";
const checkpointPath = (method: Method): string => `${method}.checkpoint.safetensors`;
const modelPath = (method: Method): string => `trained/${method}`;
const reportPath = (method: Method): string => `${method}.report.json`;
const textPath = (role: string): string => `input/${role}`;

/** Stores the inputs that resuming a job requires after the page was closed. */
export async function store(job: Job, folder: JobFolder, inputs: Inputs, modelFiles: File[] | null): Promise<void> {
  for (const file of modelFiles ?? []) await folder.write(`${MODEL}/${file.name}`, file);
  const texts = { domain: inputs.domain, "held-out": inputs.heldOut, general: inputs.general };
  for (const [role, text] of Object.entries(texts)) {
    if (text?.file) await folder.write(`${textPath(role)}/${text.file.name}`, text.file);
  }
  const samples = selected(inputs, job.settings);
  await folder.write(DEVICE, describeDevice(inputs.device));
  await folder.write(
    SETUP,
    describeSetup(inputs.model, job.settings.maxLength, samples.train, samples.domain, samples.general),
  );
  await folder.writeRecord(job);
}

/** Reads the inputs written by {@link store}. */
export async function restoreInputs(job: Job, folder: JobFolder, device: Device): Promise<Inputs> {
  const stored = async (role: string): Promise<File | null> => (await folder.readAll(textPath(role)))[0] ?? null;
  const heldOut = await stored("held-out");
  return {
    device,
    model: await untouchedModel(job, folder, device),
    domain: await readText("domain", (await stored("domain")) ?? job.texts.sample ?? null),
    heldOut: heldOut && (await readText("held-out", heldOut)),
    general: await readText("general", await stored("general")),
  };
}

/** Loads the model that a stored job starts from. */
async function untouchedModel(job: Job, folder: JobFolder, device: Device): Promise<Model> {
  const files = job.model.embedded ? null : await folder.readAll(MODEL);
  return readModel(device, files, job.model.name, job.model.weights);
}

function selected(inputs: Inputs, settings: JobSettings): Pools {
  const texts = {
    domain: inputs.domain.texts,
    heldOut: inputs.heldOut?.texts ?? null,
    general: inputs.general.texts,
  };
  return select(pools(inputs.model, texts, isDefault(inputs.domain), settings.maxLength), settings);
}

/** The requested state of a job. */
type Wish = "run" | "pause" | "stop";

const { port1, port2 } = new MessageChannel();

/**
 * Yields to the event loop. On the CPU a run never awaits anything else, so pause commands would not
 * be received. A message to itself queues behind pending messages, and arrives sooner than any timer.
 */
function yieldToMessages(): Promise<void> {
  return new Promise((resolve) => {
    port1.onmessage = () => resolve();
    port2.postMessage(null);
  });
}

/** Runs the trainings of a job one after another, with checkpoints in its folder. */
export class Runner {
  #job: Job;
  readonly #folder: JobFolder;
  readonly #inputs: Inputs;
  readonly #tell: (event: JobEvent) => void;
  #wish: Wish = "run";
  #wake: () => void = () => undefined;
  #saved = performance.now();
  #savingTook = 0;
  /** Seconds of the latest step and of the latest evaluation. */
  #stepTook = 0;
  #evaluationTook = 0;

  constructor(job: Job, folder: JobFolder, inputs: Inputs, tell: (event: JobEvent) => void) {
    this.#job = job;
    this.#folder = folder;
    this.#inputs = inputs;
    this.#tell = tell;
  }

  get job(): Job {
    return this.#job;
  }

  pause(): void {
    if (this.#wish === "run") this.#wish = "pause";
  }

  resume(): void {
    if (this.#wish === "pause") this.#wish = "run";
    this.#wake();
  }

  stop(): void {
    this.#wish = "stop";
    this.#wake();
  }

  /** Runs the job until it is finished or stopped; a failure becomes the job's state and is rethrown. */
  async run(): Promise<void> {
    try {
      await this.#state("running", null);
      const data = toData(selected(this.#inputs, this.#job.settings));
      for (const method of methodsOf(this.#job.settings)) {
        if (this.#training(method)?.finished) continue;
        const settings = trainSettings(this.#job.settings, method, 0);
        const steps = new Run(this.#inputs.model, data, settings).steps;
        const run = new Run(this.#inputs.model, data, trainSettings(this.#job.settings, method, steps));
        try {
          await this.#begin(method, run);
          if (!(await this.#train(method, run))) {
            await this.#state("stopped", null);
            return;
          }
          await this.#finish(method, run);
        } finally {
          run.free();
        }
      }
      await this.#state("finished", null);
    } catch (error) {
      await this.#fail(error);
      throw error;
    }
  }

  #training(method: Method): Training | undefined {
    return this.#job.trainings.find((training) => training.method === method);
  }

  #apply(event: JobEvent): void {
    this.#job = applyEvent(this.#job, event);
    this.#tell(event);
  }

  async #state(state: Job["state"], message: string | null): Promise<void> {
    this.#apply({ type: "state", state, message });
    await this.#write();
  }

  async #write(): Promise<void> {
    this.#job = { ...this.#job, updated: Date.now() };
    await this.#folder.writeRecord(this.#job);
  }

  /** Starts a training, or resumes it from its checkpoint and truncates the record to that step. */
  async #begin(method: Method, run: Run): Promise<void> {
    const before = this.#training(method);
    const stored = await this.#folder.read(checkpointPath(method));
    if (stored) run.restore(new Uint8Array(await stored.arrayBuffer()));
    const evaluations = run.evaluations();
    this.#apply({
      type: "training",
      method,
      tau: trainSettings(this.#job.settings, method, 0).objective.tau,
      steps: run.steps,
      losses: [...run.losses()],
      evaluations: evaluations.map((evaluated) => measured(evaluations[0], evaluated)),
      continuations: (before?.continuations ?? []).filter(({ step }) => step <= run.stepsDone),
      checkpoint: stored ? run.stepsDone : null,
    });
    // Every training of a job starts from the same model.
    const known = this.#job.trainings.find((training) => training.evaluations[0]?.step === 0);
    const first = known?.evaluations[0];
    if (first && !stored) {
      run.shareUntouched(first.domain, first.general);
      if (known.method !== method) {
        this.#apply({ type: "evaluated", method, moment: "before", evaluation: first });
        const continuation = known.continuations.find(({ step }) => step === 0);
        if (continuation) this.#apply({ type: "continuation", method, continuation });
      }
    }
  }

  /** Runs a training to its end; returns false if it was stopped. */
  async #train(method: Method, run: Run): Promise<boolean> {
    let began = performance.now();
    let evaluationBegan = began;
    for (;;) {
      await yieldToMessages();
      if (this.#wish !== "run" && !(await this.#halt(method, run))) return false;
      const event = await run.next();
      if (!event) return true;
      const now = performance.now();
      if (event.event === "step") {
        this.#stepTook = (now - began) / 1000;
        evaluationBegan = now;
      } else if (event.event === "evaluated") {
        this.#evaluationTook = (now - evaluationBegan) / 1000;
      }
      this.#report(method, run, event);
      if (event.event === "evaluated") await this.#continuePrompt(method, run);
      const interval = Math.max(CHECKPOINT_INTERVAL, CHECKPOINT_SHARE * this.#savingTook);
      if (performance.now() - this.#saved > interval) await this.#save(method, run);
      began = performance.now();
    }
  }

  /** Saves a checkpoint and waits while the job is paused; returns false if it must stop. */
  async #halt(method: Method, run: Run): Promise<boolean> {
    await this.#save(method, run);
    if (this.#wish === "pause") {
      await this.#state("paused", null);
      while (this.#wish === "pause") {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      if (this.#wish === "run") await this.#state("running", null);
    }
    return this.#wish === "run";
  }

  #report(method: Method, run: Run, event: Event): void {
    switch (event.event) {
      case "evaluating": {
        const { moment, done, total } = event;
        this.#apply({ type: "evaluating", method, moment, done, total });
        break;
      }
      case "evaluated": {
        const evaluation = measured(this.#training(method)?.evaluations[0], event);
        this.#apply({ type: "evaluated", method, moment: event.moment, evaluation });
        break;
      }
      case "step":
        this.#apply({
          type: "step",
          method,
          step: event.step,
          epoch: event.epoch,
          loss: event.loss,
          gradientNorm: event.gradient_norm,
          learningRate: event.learning_rate,
          tokensPerSecond: event.tokens_per_second,
          seconds: (this.#training(method)?.seconds ?? 0) + this.#stepTook,
          secondsLeft: event.seconds_left + this.#secondsBeyond(method, run, event),
        });
        break;
    }
  }

  /** Estimates the remaining seconds of the job beyond the steps of this training. */
  #secondsBeyond(method: Method, run: Run, event: Event & { event: "step" }): number {
    const { settings } = this.#job;
    const every = Math.ceil(run.steps / settings.evaluations);
    const evaluations = Math.ceil((event.steps - event.step) / every);
    const training = this.#training(method);
    const secondsPerStep = ((training?.seconds ?? 0) + this.#stepTook) / event.step;
    const others = methodsOf(settings).filter((other) => other !== method && !this.#training(other)?.finished);
    const other = run.steps * secondsPerStep + settings.evaluations * this.#evaluationTook;
    return evaluations * this.#evaluationTook + others.length * other;
  }

  async #continuePrompt(method: Method, run: Run): Promise<void> {
    const { prompt } = this.#job.settings;
    if (!prompt) return;
    const model = run.model();
    try {
      const text = await model.generate(prompt, CONTINUATION_TOKENS);
      const continuation = { step: run.stepsDone, text };
      this.#apply({ type: "continuation", method, continuation });
    } finally {
      model.free();
    }
  }

  async #save(method: Method, run: Run): Promise<void> {
    const began = performance.now();
    await this.#folder.write(checkpointPath(method), await run.checkpoint());
    const { stepsDone: step } = run;
    this.#apply({ type: "checkpoint", method, step, bytes: await this.#folder.size() });
    await this.#write();
    this.#saved = performance.now();
    this.#savingTook = this.#saved - began;
  }

  /** Stores the trained model and its report, and removes the checkpoint. */
  async #finish(method: Method, run: Run): Promise<void> {
    const model = run.model();
    try {
      for (const [name, bytes] of await model.files()) {
        await this.#folder.write(`${modelPath(method)}/${name}`, bytes);
      }
    } finally {
      model.free();
    }
    const continuation = this.#training(method)?.continuations.at(-1)?.text ?? "";
    const report = run.report(this.#job.settings.prompt, continuation, method);
    await this.#folder.write(reportPath(method), report ?? "null");
    const [bytes, checkpoint] = [await this.#folder.size(), await this.#folder.read(checkpointPath(method))];
    this.#apply({ type: "trained", method, bytes: bytes - (checkpoint?.size ?? 0) });
    await this.#write();
    await this.#folder.remove(checkpointPath(method));
  }

  async #fail(error: unknown): Promise<void> {
    const { message } = toFailure(error);
    try {
      await this.#state("failed", message);
    } catch {
      // The page is notified even if the record cannot be written.
      this.#tell({ type: "state", state: "failed", message });
    }
  }
}

/** Adds the metrics against the untouched model to an evaluation. */
export function measured(untouched: Perplexities | undefined, evaluated: Omit<Evaluation, "metrics">): Evaluation {
  const { step, domain, general } = evaluated;
  return { step, domain, general, metrics: metrics(untouched ?? evaluated, evaluated) };
}

/** Returns the files of a finished training. */
export async function trainedFiles(folder: JobFolder, method: Method): Promise<File[]> {
  const files = await folder.readAll(modelPath(method));
  if (files.length === 0) throw failure("NotFinished", "this training is not finished");
  return files;
}

/** Loads the model of a finished training. */
export async function trainedModel(job: Job, folder: JobFolder, device: Device, method: Method): Promise<Model> {
  const files = await trainedFiles(folder, method);
  if (job.settings.adapter === "none") return readModel(device, files, job.model.name);
  const bytes = async (name: string): Promise<Uint8Array> => {
    const file = files.find((file) => file.name === name);
    if (!file) throw failure("Damaged", `the stored adapter has no ${name}`);
    return new Uint8Array(await file.arrayBuffer());
  };
  const base = await untouchedModel(job, folder, device);
  try {
    return base.withAdapter(await bytes("adapter_config.json"), await bytes("adapter_model.safetensors"));
  } finally {
    base.free();
  }
}

/** Returns the `run.json` of the finished trainings of a job. */
export async function report(job: Job, folder: JobFolder): Promise<string> {
  const text = async (path: string): Promise<string> => {
    const file = await folder.read(path);
    if (!file) throw failure("Damaged", `the stored job has no ${path}`);
    return file.text();
  };
  const finished = job.trainings.filter((training) => training.finished);
  const reports = await Promise.all(finished.map(({ method }) => text(reportPath(method))));
  const { prompt } = job.settings;
  const untouched = job.trainings[0]?.continuations.filter(({ step }) => step === 0) ?? [];
  const continuations = untouched.map((continuation) => ({ prompt, text: continuation.text }));
  return runJson(await text(SETUP), await text(DEVICE), continuations, reports);
}
