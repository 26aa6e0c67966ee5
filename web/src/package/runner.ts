import type { Data, Event, Perplexities } from "../../wasm/minift.js";
import { metrics, Run, runJson, Samples, trainSettings } from "../../wasm/minift.js";
import { failure, toFailure } from "./errors.js";
import type { Inputs } from "./inputs.js";
import { DEVICE, SETUP, selected, storeSetup } from "./inputs.js";
import { applyEvent } from "./job.js";
import type { Evaluation, Front, FrontPoint, Job, JobEvent, Method, Training } from "./protocol.js";
import { FRONT_SHARE } from "./session.js";
import { toData } from "./sets.js";
import { methodsOf, needsGeneralText } from "./settings.js";
import type { JobFolder } from "./storage.js";
import { yieldToMessages } from "./yield.js";

const CONTINUATION_TOKENS = 32;
/** Milliseconds between checkpoints. */
const CHECKPOINT_INTERVAL = 10_000;
/** Checkpoints are at least this many times as far apart as writing one takes. */
const CHECKPOINT_SHARE = 20;
/** The last checkpoint of a training is kept up to this size, so that the training can be continued. */
const KEPT_CHECKPOINT = 128 * 2 ** 20;
/** Number of texts that the untouched model generates, and of those generated at a time. */
const GENERATED = 96;
const GENERATED_AT_A_TIME = 8;

const checkpointPath = (method: Method): string => `${method}.checkpoint.safetensors`;
export const modelPath = (method: Method): string => `trained/${method}`;
const reportPath = (method: Method): string => `${method}.report.json`;

/** The requested state of a job. */
type Wish = "run" | "pause" | "stop";

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
      const plain = toData(selected(this.#inputs, this.#job.settings));
      let withGeneralText: Data | null = null;
      for (const method of methodsOf(this.#job.settings)) {
        if (this.#training(method)?.finished) continue;
        let data = plain;
        if (needsGeneralText(method)) {
          withGeneralText ??= plain.withGeneralText(await this.#generalText(method));
          data = withGeneralText;
        }
        const settings = trainSettings(this.#job.settings, method, 0);
        const steps = new Run(this.#inputs.model, data, settings).steps;
        const run = new Run(this.#inputs.model, data, trainSettings(this.#job.settings, method, steps));
        try {
          await this.#begin(method, run);
          if (!(await this.#train(method, run))) {
            await this.#state("stopped", null);
            return;
          }
          await this.#measureFront(method, run);
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

  /** Returns the general text that a method trains on: a file, or text of the untouched model. */
  async #generalText(method: Method): Promise<Samples> {
    const { model, replay } = this.#inputs;
    const { maxLength, seed } = this.#job.settings;
    let found = replay && Samples.tokenize(replay.texts, model, maxLength);
    for (let done = 0; !replay && done < GENERATED; done += GENERATED_AT_A_TIME) {
      this.#apply({ type: "generating", method, done, total: GENERATED });
      await yieldToMessages();
      const more = await Samples.generated(model, GENERATED_AT_A_TIME, maxLength, seed + done);
      found = found ? found.joined(more) : more;
    }
    if (!found) throw failure("NoSamples", "there is no general text to train on");
    await storeSetup(this.#job, this.#folder, this.#inputs, found);
    return found;
  }

  /** Measures what the training gains and forgets at several strengths. */
  async #measureFront(method: Method, run: Run): Promise<void> {
    for (;;) {
      await yieldToMessages();
      const event = await run.nextOfFront();
      if (!event) break;
      if (event.event !== "evaluating_front") continue;
      this.#apply({ type: "measuringFront", method, done: event.done, total: event.total });
    }
    const found = run.front();
    if (!found) return;
    const { untouched } = found;
    const front: Front = {
      domainSamples: found.domain_samples,
      generalSamples: found.general_samples,
      untouched,
      points: found.points.map((point) => pointOf(point.weight, untouched, point)),
    };
    this.#apply({ type: "front", method, front });
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
      case "weighing":
      case "consolidating":
        this.#apply({ type: event.event, method, done: event.done, total: event.total });
        break;
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
    const secondsPerStep = ((this.#training(method)?.seconds ?? 0) + this.#stepTook) / event.step;
    const others = methodsOf(settings).filter((other) => other !== method && !this.#training(other)?.finished);
    const training = run.steps * secondsPerStep;
    const front = FRONT_SHARE * training;
    const other = training + front + settings.evaluations * this.#evaluationTook;
    return evaluations * this.#evaluationTook + front + others.length * other;
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

  /** Stores the trained model, its report and its last checkpoint, unless that is large. */
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
    const checkpoint = await run.checkpoint();
    const isKept = checkpoint.length <= KEPT_CHECKPOINT;
    if (isKept) await this.#folder.write(checkpointPath(method), checkpoint);
    const [bytes, stored] = [await this.#folder.size(), await this.#folder.read(checkpointPath(method))];
    const removed = isKept ? 0 : (stored?.size ?? 0);
    const step = isKept ? run.stepsDone : null;
    this.#apply({ type: "trained", method, bytes: bytes - removed, checkpoint: step });
    await this.#write();
    if (!isKept) await this.#folder.remove(checkpointPath(method));
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

/** Compares perplexities at a strength with those of the untouched model. */
export function pointOf(weight: number, untouched: Perplexities, { domain, general }: Perplexities): FrontPoint {
  const found = { domain, general };
  return { weight, ...found, metrics: metrics(untouched, found) };
}

/** Returns the files of a finished training. */
export async function trainedFiles(folder: JobFolder, method: Method): Promise<File[]> {
  const files = await folder.readAll(modelPath(method));
  if (files.length === 0) throw failure("NotFinished", "this training is not finished");
  return files;
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
