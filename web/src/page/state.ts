import type {
  Answer,
  Check,
  DeviceChoice,
  DeviceInfo,
  DialPoint,
  GgufType,
  Job,
  JobSettings,
  Method,
  ModelInfo,
  Pace,
  Plan,
  TextRole,
  TextSource,
  Texts,
  Voice,
  WeightChoice,
} from "../package/index.js";
import { defaultSettings } from "../package/index.js";
import type { NumberKey } from "./fields.js";

/** Target duration of a visitor's first run, in seconds, which can be continued. */
export const FIRST_SECONDS = 20;

/** An asynchronously loaded value. */
export interface Loaded<T> {
  value: T | null;
  busy: boolean;
  /** Why the last attempt failed; `value` then keeps the previous value. */
  error: string | null;
}

/** A text and where it is from. */
export interface TextSlot extends Loaded<Texts> {
  file: TextSource;
}

/** The model, its files, and the files of an incomplete next model. */
export interface ModelSlot extends Loaded<ModelInfo> {
  /** null for the embedded model. */
  files: File[] | null;
  staged: File[];
  /** The type that the weights are kept in. */
  weights: WeightChoice;
}

/** The chosen strength of a training, and what was measured at it. */
export interface Dialled {
  weight: number;
  /** The parts that are complete; null before the first. */
  point: DialPoint | null;
  busy: boolean;
  error: string | null;
}

/** A question or the beginning of a text, and the answers of the voices. */
export interface Turn {
  text: string;
  voices: Voice[];
  answers: Answer[];
}

/** Conversations with the untouched and the trained model. */
export interface ChatState {
  /** Whether the model has a chat template; null before the chat is opened. */
  hasTemplate: boolean | null;
  turns: Turn[];
  /** The model is being loaded, or answers are in progress. */
  busy: boolean;
  stopping: boolean;
  error: string | null;
}

/** The state of the page. */
export interface State {
  /** The view shown. */
  view: "setup" | "job";
  choice: DeviceChoice;
  device: Loaded<DeviceInfo>;
  model: ModelSlot;
  texts: Record<TextRole, TextSlot>;
  settings: JobSettings;
  /** Messages of the invalid form fields. */
  invalid: Partial<Record<NumberKey, string>>;
  /** Whether the job is sized by time; false once the user sets a sample count. */
  sizedByTime: boolean;
  /** Target duration of a job sized by time. */
  seconds: number;
  /** Whether the user wrote the prompt. */
  ownPrompt: boolean;
  pace: Loaded<Pace>;
  plan: Loaded<Plan>;
  /** Start was pressed, but the job has not started yet. */
  starting: boolean;
  startError: string | null;
  /** The job shown. */
  job: Job | null;
  /** The pending command to the running job. */
  asked: "pause" | "resume" | "stop" | null;
  /** Strengths of the finished trainings of the job; those that were not chosen are as trained. */
  dials: Partial<Record<Method, Dialled>>;
  chat: ChatState;
  /** Stored jobs, newest first. */
  jobs: Loaded<Job[]>;
  /** The download being packed. */
  packing: Method | `${Method}-${GgufType}` | "report" | "html" | null;
  /** What is particular about the latest file in GGUF. */
  ggufNotes: string[];
  downloadError: string | null;
  /** Ignored parameters of the link. */
  linkNotes: string[];
  /** Why the worker was lost. */
  lost: string | null;
  /** The worker was lost repeatedly and is not restarted. */
  dead: boolean;
  /** Message about unsupported dropped files. */
  dropNote: string | null;
  checks: Check[];
  checking: boolean;
  checkError: string | null;
  /** Text for screen readers. */
  announcement: string;
}

const empty = { value: null, busy: false, error: null };
const noChat: ChatState = { hasTemplate: null, turns: [], busy: false, stopping: false, error: null };
/** What is known about the shown job beyond its record: nothing at first. */
export const nothingChosen = { dials: {}, chat: noChat, ggufNotes: [] as string[], downloadError: null };

/** Returns the initial state. */
export function initialState(): State {
  const text: TextSlot = { ...empty, file: null };
  return {
    view: "setup",
    choice: "auto",
    device: empty,
    model: { ...empty, files: null, staged: [], weights: "auto" },
    texts: { domain: text, "held-out": text, general: text, replay: text },
    settings: defaultSettings,
    invalid: {},
    sizedByTime: true,
    seconds: FIRST_SECONDS,
    ownPrompt: false,
    pace: empty,
    plan: empty,
    starting: false,
    startError: null,
    job: null,
    asked: null,
    jobs: empty,
    packing: null,
    ...nothingChosen,
    linkNotes: [],
    lost: null,
    dead: false,
    dropNote: null,
    checks: [],
    checking: false,
    checkError: null,
    announcement: "",
  };
}

/** Whether a stored job runs in another tab. */
export function isElsewhere(job: Job, { job: own }: State): boolean {
  return isLive(job) && !(own?.id === job.id && isLive(own));
}

/** Whether a job is running or paused. */
export function isLive(job: Job | null): boolean {
  return job?.state === "running" || job?.state === "paused";
}
