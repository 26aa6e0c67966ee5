/** The messages between a page and the training worker: discriminated unions, by `type`. */

import type {
  AdapterKind,
  Check,
  ChoiceAccuracy,
  DeviceInfo,
  EvaluationMetrics,
  GgufType,
  JobSettings,
  MemoryAdvice,
  MemoryEstimate,
  JobMethod as Method,
  ModelInfo,
  Moment,
  Pace,
  Perplexities,
  SampleDomain,
  SetPreview,
  TextsInfo,
  WeightChoice,
} from "../../wasm/minift.js";

export type {
  AdapterKind,
  Check,
  ChoiceAccuracy,
  DeviceInfo,
  EvaluationMetrics,
  GgufType,
  JobSettings,
  MemoryAdvice,
  MemoryEstimate,
  Method,
  ModelInfo,
  Moment,
  Pace,
  Perplexities,
  SampleDomain,
  SetPreview,
  TextsInfo,
  WeightChoice,
};

/** Which device to open; `auto` takes a hardware GPU if available, else the CPU. */
export type DeviceChoice = "auto" | "gpu" | "cpu";

/**
 * The role of a text: the training domain, its held-out set, the general set, or general text that methods with
 * replay or elastic weight consolidation train on.
 */
export type TextRole = "domain" | "held-out" | "general" | "replay";

/** A text: a file, the name of a sample domain, or null for the default of its role. */
export type TextSource = File | SampleDomain | null;

/** A model in GGUF. */
export interface GgufFiles {
  /** The model, and the `Modelfile` with which Ollama imports it. */
  files: File[];
  /** What is particular about the file. */
  notes: string[];
}

/** A problem with a file or a setting; `stops` means that the job cannot start. */
export interface Problem {
  message: string;
  stops: boolean;
}

/** The estimated cost of a job. */
export interface Plan {
  settings: JobSettings;
  /** Bytes per component. */
  memory: MemoryEstimate;
  /** Steps per training. */
  steps: number;
  /** Estimated duration of the whole job; null until the device is measured. */
  seconds: number | null;
  problems: Problem[];
  /** Settings with which it fits into memory, if it does not. */
  advice: MemoryAdvice | null;
}

/** A loaded text. */
export interface Texts {
  role: TextRole;
  name: string;
  info: TextsInfo;
}

/** State of a job. An `interrupted` job can be resumed. */
export type JobState = "running" | "paused" | "interrupted" | "stopped" | "finished" | "failed";

/** Perplexities at a step, and the metrics against the untouched model. */
export interface Evaluation {
  step: number;
  domain: number;
  general: number;
  metrics: EvaluationMetrics;
}

/** A training at a strength from 0, untouched, to 1, trained. */
export interface FrontPoint {
  weight: number;
  domain: number;
  general: number;
  metrics: EvaluationMetrics;
}

/** Gain against forgetting over the strengths of a training, measured on a part of both sets. */
export interface Front {
  /** Number of samples of each set. */
  domainSamples: number;
  generalSamples: number;
  /** The untouched model on these samples. */
  untouched: Perplexities;
  /** By increasing strength. */
  points: FrontPoint[];
}

/** What a training does at a strength. Parts that are not computed yet are null. */
export interface DialPoint {
  weight: number;
  /** On the samples of the front. */
  measured: FrontPoint | null;
  /** Right choices among continuations of domain texts; null also where they are too short or too few. */
  domainChoices: ChoiceAccuracy | null;
  /** Right choices among continuations of general texts. */
  generalChoices: ChoiceAccuracy | null;
  /** The continuation of the job's prompt. */
  continuation: string | null;
}

/** A model to talk to: a finished training at a strength, or the untouched model. */
export interface Voice {
  /** null for the untouched model. */
  method: Method | null;
  /** From 0, untouched, to 1, trained. */
  weight: number;
}

/** The answer of a voice. */
export interface Answer {
  text: string;
  /** Why there is none, such as a conversation that is too long. */
  error: string | null;
}

/** The model's continuation of the prompt at a step. */
export interface Continuation {
  step: number;
  text: string;
}

/** One training of a job. */
export interface Training {
  method: Method;
  tau: number;
  steps: number;
  step: number;
  epoch: number;
  losses: number[];
  /** The first is the untouched model's. */
  evaluations: Evaluation[];
  continuations: Continuation[];
  tokensPerSecond: number;
  /** Training time so far, excluding evaluation. */
  seconds: number;
  /** Step of the latest checkpoint, if any; a finished training with one can be continued. */
  checkpoint: number | null;
  /** Whether the trained model can be downloaded. */
  finished: boolean;
  /** Gain against forgetting over the strengths of the finished training; null where it is not measured. */
  front: Front | null;
}

/** A job, as stored in the browser. */
export interface Job {
  id: string;
  /** Milliseconds since the Unix epoch. */
  created: number;
  updated: number;
  state: JobState;
  /** Why it failed or stopped. */
  message: string | null;
  settings: JobSettings;
  device: string;
  model: { name: string; parameters: number; embedded: boolean; weights?: WeightChoice };
  /** Names of the texts, and the sample domain that the domain text is. */
  texts: { domain: string; general: string; sample?: SampleDomain };
  trainings: Training[];
  /** Current activity and its progress, such as "evaluating the untouched model". */
  activity: { text: string; done: number; total: number } | null;
  /** Estimated time to completion; null while unknown. */
  secondsLeft: number | null;
  /** Size in the browser's storage. */
  bytes: number;
}

/** An event of a job. `applyEvent` reduces it into the `Job`. */
export type JobEvent =
  | { type: "state"; state: JobState; message: string | null }
  | {
      /** A training starts, or resumes from a checkpoint with its history so far. */
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
  /** The untouched model generates general text for a method that trains on it. */
  | { type: "generating"; method: Method; done: number; total: number }
  /** The untouched model is measured before the first step, for a method that depends on it. */
  | { type: "weighing" | "consolidating"; method: Method; done: number; total: number }
  | { type: "measuringFront"; method: Method; done: number; total: number }
  | { type: "front"; method: Method; front: Front }
  | { type: "trained"; method: Method; bytes: number; checkpoint: number | null };

/** Commands from the page to the worker, each with its reply. */
export interface Commands {
  /** Opens a device, or reuses it if already open, and moves the model there. */
  open: { device: DeviceChoice; reply: DeviceInfo };
  /**
   * Loads a model from the files of a Hugging Face folder, or from a GGUF file or all its parts; null loads the
   * embedded model. Weights are kept as they are stored unless another type is asked for.
   */
  loadModel: { files: File[] | null; name?: string; weights?: WeightChoice; reply: ModelInfo };
  /** Checks one file of an incomplete model; rejects if it is invalid. */
  checkModelFile: { file: File; name?: string; reply: null };
  /** Loads a text. */
  loadText: { role: TextRole; file: TextSource; reply: Texts };
  /** Shows how a text is tokenized: counts, and samples with what is predicted marked. */
  preview: { role: TextRole; maxLength: number; reply: SetPreview };
  /** Unloads an optional text. */
  dropText: { role: TextRole; reply: null };
  /** Measures the time of a step on this device. */
  measure: { settings: JobSettings; reply: Pace };
  /** Sizes a job to take about `seconds`, from the measured pace. */
  budget: { settings: JobSettings; seconds: number; reply: JobSettings };
  /** Estimates the cost of a job. */
  plan: { settings: JobSettings; reply: Plan };
  /** Starts a job on the loaded model and texts. */
  start: { settings: JobSettings; reply: Job };
  pause: { reply: null };
  resume: { reply: null };
  /** Stops the job; it keeps its checkpoint and can be resumed. */
  stop: { reply: null };
  /** Lists the stored jobs, newest first. */
  jobs: { reply: Job[] };
  /** Resumes a job from its latest checkpoint. */
  resumeJob: { id: string; reply: Job };
  /** Continues a finished job to a larger number of epochs. Requires a checkpoint of every training. */
  continueJob: { id: string; epochs: number; reply: Job };
  deleteJob: { id: string; reply: null };
  /**
   * Returns the files of a finished training, a Hugging Face folder or an adapter of PEFT, at a strength from 0 to 1
   * (by default 1, as trained).
   */
  files: { id: string; method: Method; weight?: number; reply: File[] };
  /** Returns the model of a finished training in GGUF, with its adapter merged, at a strength as `files`. */
  gguf: { id: string; method: Method; kind: GgufType; weight?: number; reply: GgufFiles };
  /**
   * Measures a finished training at a strength. `onDial` listeners receive the parts as they are complete. A later
   * request ends an earlier one, which rejects with kind `Superseded`.
   */
  dial: { id: string; method: Method; weight: number; reply: DialPoint };
  /** Begins conversations with the models of a job; replies whether they have a chat template. */
  openChat: { id: string; reply: { hasTemplate: boolean } };
  /**
   * Answers a question, or continues a text where the model has no chat template, by every voice. `onText` listeners
   * receive the pieces. Conversations continue from earlier answers until `openChat`.
   */
  answer: {
    id: string;
    voices: Voice[];
    text: string;
    /** By default 128. */
    maxTokens?: number;
    /** 0, the default, takes the most likely token. */
    temperature?: number;
    reply: Answer[];
  };
  /** Ends the answers in progress; `answer` then replies what there is. */
  stopAnswer: { reply: null };
  /** Returns the run.json of a job. */
  report: { id: string; reply: string };
  /** Verifies that the device computes correct results. */
  examine: { vectors: Uint8Array | null; reply: Check[] };
}

type Distribute<K extends keyof Commands> = K extends keyof Commands ? { type: K } & Omit<Commands[K], "reply"> : never;

/** A message from the page to the worker. */
export type Command = Distribute<keyof Commands>;

/** A command with the id that its reply carries. */
export type Request = { id: number; command: Command };

/** An error as sent from the worker to the page. */
export interface Failure {
  /** Error kind, such as `TensorShape` or `DataLine`. */
  kind: string;
  message: string;
}

/** A message from the worker to the page. */
export type Message =
  | { type: "alive"; lock: string }
  | { type: "reply"; id: number; value: unknown }
  | { type: "failure"; id: number; failure: Failure }
  | { type: "event"; job: string; event: JobEvent }
  | { type: "examined"; check: Check }
  | { type: "dialled"; job: string; method: Method; point: DialPoint }
  | { type: "text"; job: string; voice: number; piece: string }
  | { type: "lost"; message: string };
