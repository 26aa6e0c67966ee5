import { defaultSettings } from "../package/index.js";
import type {
  Check,
  DeviceChoice,
  DeviceInfo,
  Job,
  JobSettings,
  Method,
  ModelInfo,
  Pace,
  Plan,
  TextRole,
  Texts,
} from "../package/index.js";
import type { NumberKey } from "./fields.js";

/** Something that is loaded, being loaded, or could not be. */
export interface Loaded<T> {
  value: T | null;
  busy: boolean;
  /** Why the last attempt failed; `value` is then still what was there before. */
  error: string | null;
}

/** A text and the file it came from; null for an embedded one. */
export interface TextSlot extends Loaded<Texts> {
  file: File | null;
}

/** The model, the files that it came from, and those of a next one that is not complete. */
export interface ModelSlot extends Loaded<ModelInfo> {
  /** null for the embedded one. */
  files: File[] | null;
  staged: File[];
}

/** Everything that the page shows. */
export interface State {
  /** Whether the setup or a job is shown. */
  view: "setup" | "job";
  choice: DeviceChoice;
  device: Loaded<DeviceInfo>;
  model: ModelSlot;
  texts: Record<TextRole, TextSlot>;
  settings: JobSettings;
  /** What is wrong with what stands in the form. */
  invalid: Partial<Record<NumberKey, string>>;
  /** Whether samples are chosen by time; false once somebody chose them. */
  sizedByTime: boolean;
  /** Whether the prompt is somebody's own. */
  ownPrompt: boolean;
  pace: Loaded<Pace>;
  plan: Loaded<Plan>;
  /** Start was pressed, and the job has not begun yet. */
  starting: boolean;
  startError: string | null;
  /** The job that is shown. */
  job: Job | null;
  /** What was asked of the running job and has not happened yet. */
  asked: "pause" | "resume" | "stop" | null;
  /** Stored jobs, the newest first. */
  jobs: Loaded<Job[]>;
  /** What is being packed for download, and why it failed. */
  packing: Method | "report" | null;
  downloadError: string | null;
  /** Notes on the link that the page was opened with. */
  linkNotes: string[];
  /** Why the worker was lost. */
  lost: string | null;
  /** It was lost again and again: only loading the page anew can help. */
  dead: boolean;
  /** Files that were dropped and are of no use. */
  dropNote: string | null;
  checks: Check[];
  checking: boolean;
  checkError: string | null;
  /** What a screen reader is told. */
  announcement: string;
}

const empty = { value: null, busy: false, error: null };

/** The state that the page opens with. */
export function initialState(): State {
  const text: TextSlot = { ...empty, file: null };
  return {
    view: "setup",
    choice: "auto",
    device: empty,
    model: { ...empty, files: null, staged: [] },
    texts: { domain: text, "held-out": text, general: text },
    settings: defaultSettings,
    invalid: {},
    sizedByTime: true,
    ownPrompt: false,
    pace: empty,
    plan: empty,
    starting: false,
    startError: null,
    job: null,
    asked: null,
    jobs: empty,
    packing: null,
    downloadError: null,
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

/** Whether a job is under way in this page. */
export function isLive(job: Job | null): boolean {
  return job?.state === "running" || job?.state === "paused";
}
