/**
 * What a page and the training worker say to each other. Every message is a member of a union that
 * its `type` tells apart.
 */

import type { Check, DeviceInfo, MemoryEstimate, ModelInfo, Moment, Pace, TextsInfo } from "../../wasm/minift.js";

export type { Check, DeviceInfo, MemoryEstimate, ModelInfo, Moment, Pace, TextsInfo };

/** A hardware GPU if there is one, else the CPU; or what is asked for. */
export type DeviceChoice = "auto" | "gpu" | "cpu";

/** Minifinetuning, or plain finetuning. */
export type Method = "mft" | "ft";

/** What is trained: the weights themselves, or an adapter in their place, in the format of PEFT. */
export type AdapterKind = "none" | "lora" | "dora" | "ia3";

/** What a text is for: to learn, to measure what was learnt, to measure what was forgotten. */
export type TextRole = "domain" | "held-out" | "general";

/** Everything that decides a job, apart from model and texts. */
export interface JobSettings {
  method: Method;
  /** Also train by plain finetuning, to compare. */
  compare: boolean;
  adapter: AdapterKind;
  /** Margin of the right token, in [0, 1]. */
  tau: number;
  learningRate: number;
  epochs: number;
  /** Samples to train on. */
  samples: number;
  batchSize: number;
  /** Greatest length of a sample, in tokens. */
  maxLength: number;
  seed: number;
  /** Samples of each set that perplexities are measured on. */
  evaluationSamples: number;
  /** Evaluations in the course of a training, the one at its end included. */
  evaluations: number;
  /** Text that the model continues before, during and after. */
  prompt: string;
}

/** A problem with a file or a setting; `stops` tells whether the job can start all the same. */
export interface Problem {
  message: string;
  stops: boolean;
}

/** What a job would take. */
export interface Plan {
  settings: JobSettings;
  /** Bytes by part. */
  memory: MemoryEstimate;
  /** Steps of one training. */
  steps: number;
  /** Of the whole job; null while the device is not measured. */
  seconds: number | null;
  problems: Problem[];
}

export interface Texts {
  role: TextRole;
  name: string;
  info: TextsInfo;
}

/** State of a job. A job that is `interrupted` was cut off and can be resumed. */
export type JobState = "running" | "paused" | "interrupted" | "stopped" | "finished" | "failed";

export interface Evaluation {
  step: number;
  domain: number;
  general: number;
}

export interface Continuation {
  step: number;
  text: string;
}

/** A training within a job. */
export interface Training {
  method: Method;
  tau: number;
  steps: number;
  step: number;
  epoch: number;
  losses: number[];
  /** The untouched model's first. */
  evaluations: Evaluation[];
  continuations: Continuation[];
  tokensPerSecond: number;
  /** Training time so far, without evaluation. */
  seconds: number;
  /** Step of the newest checkpoint; null if there is none. */
  checkpoint: number | null;
  /** Whether its model is complete and can be downloaded. */
  finished: boolean;
}

/** A job as it is kept in the browser's own storage. */
export interface Job {
  id: string;
  /** Milliseconds since 1970. */
  created: number;
  updated: number;
  state: JobState;
  /** Why it failed or stopped, for people. */
  message: string | null;
  settings: JobSettings;
  device: string;
  model: { name: string; parameters: number; embedded: boolean };
  texts: { domain: string; general: string };
  trainings: Training[];
  /** What goes on now, for a progress line: "measuring the untouched model" and how far that is. */
  activity: { text: string; done: number; total: number } | null;
  /** Until the job is done; null while unknown. */
  secondsLeft: number | null;
  /** Bytes in the browser's storage. */
  bytes: number;
}

/** What happens in a job. {@link applyEvent} makes the next `Job` of it. */
export type JobEvent =
  | { type: "state"; state: JobState; message: string | null }
  | {
      /** A training begins, or goes on from a checkpoint with what is known from before it. */
      type: "training";
      method: Method;
      tau: number;
      steps: number;
      losses: number[];
      evaluations: Evaluation[];
      continuations: Continuation[];
      checkpoint: number | null;
    }
  | { type: "evaluating"; method: Method; moment: Moment; done: number; total: number }
  | { type: "evaluated"; method: Method; moment: Moment; evaluation: Evaluation }
  | {
      type: "step";
      method: Method;
      step: number;
      epoch: number;
      loss: number;
      gradientNorm: number;
      learningRate: number;
      tokensPerSecond: number;
      seconds: number;
      secondsLeft: number;
    }
  | { type: "continuation"; method: Method; continuation: Continuation }
  | { type: "checkpoint"; method: Method; step: number; bytes: number }
  | { type: "trained"; method: Method; bytes: number };

/** Page to worker, with what each is answered. */
export interface Commands {
  /** Opens a device and moves the model there; asked for the same again, the same one is taken. */
  open: { device: DeviceChoice; reply: DeviceInfo };
  /** Reads a model: the files of a Hugging Face folder of that name, or the embedded one. */
  loadModel: { files: File[] | null; name?: string; reply: ModelInfo };
  /** Looks at one file of a model that is not complete; rejects with what is wrong with it. */
  checkModelFile: { file: File; name?: string; reply: null };
  /** Reads a text: a .txt or .jsonl file, or the embedded one. */
  loadText: { role: TextRole; file: File | null; reply: Texts };
  /** Drops a text that need not be given. */
  dropText: { role: TextRole; reply: null };
  /** Measures a step on this device. */
  measure: { settings: JobSettings; reply: Pace };
  /** Settings whose job ends in about so many seconds, as far as the measured pace tells. */
  budget: { settings: JobSettings; seconds: number; reply: JobSettings };
  /** What a job of those settings would take. */
  plan: { settings: JobSettings; reply: Plan };
  /** Starts a job on the loaded model and texts. */
  start: { settings: JobSettings; reply: Job };
  pause: { reply: null };
  resume: { reply: null };
  /** Ends the job; it keeps its checkpoint and can be resumed. */
  stop: { reply: null };
  /** The jobs in the browser's storage, the newest first. */
  jobs: { reply: Job[] };
  /** Goes on with a job from its newest checkpoint. */
  resumeJob: { id: string; reply: Job };
  deleteJob: { id: string; reply: null };
  /** The files of a finished training: a Hugging Face folder and run.json. */
  files: { id: string; method: Method; reply: File[] };
  /** run.json of a job. */
  report: { id: string; reply: string };
  /** Checks the device against reference values. */
  examine: { vectors: Uint8Array | null; reply: Check[] };
}

type Distribute<K extends keyof Commands> = K extends keyof Commands
  ? { type: K } & Omit<Commands[K], "reply">
  : never;

/** A message from the page to the worker. */
export type Command = Distribute<keyof Commands>;

/** A command with the number that its answer will bear. */
export type Request = { id: number; command: Command };

/** A failure as it crosses from the worker to the page. */
export interface Failure {
  /** Kind of the error, such as `TensorShape` or `DataLine`. */
  kind: string;
  message: string;
}

/** Worker to page. */
export type Message =
  | { type: "alive"; lock: string }
  | { type: "reply"; id: number; value: unknown }
  | { type: "failure"; id: number; failure: Failure }
  | { type: "event"; job: string; event: JobEvent }
  | { type: "examined"; check: Check }
  | { type: "lost"; message: string };
