/// <reference lib="webworker" />
import init from "../../wasm/minift.js";
import { failure, toFailure } from "./errors.js";
import { toGguf } from "./export.js";
import type { Command, Commands, Job, JobEvent, JobSettings, Message, Request } from "./protocol.js";
import type { Inputs } from "./runner.js";
import { measured, Runner, report, restoreInputs, store, trainedFiles } from "./runner.js";
import { checkModelFile, Session } from "./session.js";
import { JobFolder } from "./storage.js";

declare const self: DedicatedWorkerGlobalScope;

type Handlers = {
  [K in keyof Commands]: (command: Command & { type: K }) => Promise<Commands[K]["reply"]> | Commands[K]["reply"];
};

const session = new Session();
let runner: Runner | null = null;

const send = (message: Message): void => self.postMessage(message);
const lockOf = (id: string): string => `minift-job-${id}`;

/** Returns the names of the held locks: a job whose lock is held runs here or in another tab. */
async function heldLocks(): Promise<Set<string>> {
  const { held = [] } = await navigator.locks.query();
  return new Set(held.map(({ name }) => name ?? ""));
}

/** Adds the metrics to the evaluations of a job stored by an earlier version. */
function complete(job: Job): Job {
  const trainings = job.trainings.map((training) => {
    const { evaluations } = training;
    return { ...training, evaluations: evaluations.map((evaluation) => measured(evaluations[0], evaluation)) };
  });
  return { ...job, trainings };
}

async function jobs(): Promise<Job[]> {
  const running = await heldLocks();
  const ids = new Set((await JobFolder.ids()).filter((id) => !running.has(lockOf(id))));
  const found = (await JobFolder.list()).map(complete);
  // A folder without a record belongs to a job that was interrupted before it started.
  const recorded = new Set(found.map(({ id }) => id));
  for (const id of ids) if (!recorded.has(id)) await JobFolder.remove(id);
  return found.map((job) => {
    const cutOff = ids.has(job.id) && (job.state === "running" || job.state === "paused");
    return cutOff ? { ...job, state: "interrupted", activity: null, secondsLeft: null } : job;
  });
}

/** Runs a job under its lock, so that no other tab resumes it. */
async function launch(
  job: Job,
  prepare: (folder: JobFolder) => Promise<Inputs>,
  open: (id: string) => Promise<JobFolder>,
): Promise<Job> {
  if (runner) throw failure("Busy", "a job is running: stop it first");
  return new Promise((resolve, reject) => {
    void navigator.locks.request(lockOf(job.id), { ifAvailable: true }, async (lock) => {
      if (!lock) {
        reject(failure("Busy", "this job is running in another tab"));
        return;
      }
      let inputs: Inputs;
      let folder: JobFolder;
      try {
        folder = await open(job.id);
        inputs = await prepare(folder);
      } catch (error) {
        reject(error);
        return;
      }
      const onEvent = (event: JobEvent): void => send({ type: "event", job: job.id, event });
      runner = new Runner(job, folder, inputs, onEvent);
      resolve(job);
      try {
        await runner.run();
      } catch (error) {
        const { kind, message } = toFailure(error);
        // The state of a failed device or a crashed module cannot be trusted: restart the worker.
        if (kind === "Device" || kind === "Crash") send({ type: "lost", message });
      } finally {
        runner = null;
      }
    });
  });
}

async function start(settings: JobSettings): Promise<Job> {
  const domain = session.text("domain");
  const general = session.text("general");
  if (!domain || !general) throw failure("NotReady", "no text is loaded");
  const problem = session.plan(settings).problems.find(({ stops }) => stops);
  if (problem) throw failure("DoesNotFit", problem.message);
  const inputs = { device: session.device, model: session.model, domain, general };
  const heldOut = session.text("held-out");
  const { name, parameters, embedded } = session.model.info();
  const now = Date.now();
  const job: Job = {
    id: crypto.randomUUID(),
    created: now,
    updated: now,
    state: "running",
    message: null,
    settings,
    device: session.device.info().name,
    model: { name, parameters, embedded, weights: session.weights },
    texts: {
      domain: domain.name,
      general: general.name,
      ...(domain.sample && { sample: domain.sample }),
    },
    trainings: [],
    activity: null,
    secondsLeft: null,
    bytes: 0,
  };
  const prepare = async (folder: JobFolder): Promise<Inputs> => {
    const all = { ...inputs, heldOut };
    await store(job, folder, all, session.modelFiles);
    return all;
  };
  return launch(job, prepare, (id) => JobFolder.create(id));
}

async function resumeJob(id: string): Promise<Job> {
  const folder = await JobFolder.open(id);
  const stored = await folder.readRecord();
  if (!stored) throw failure("Damaged", "the stored job is corrupted: delete it");
  const job: Job = { ...complete(stored), device: session.device.info().name };
  return launch(job, (folder) => restoreInputs(job, folder, session.device), JobFolder.open);
}

async function open(id: string): Promise<{ job: Job; folder: JobFolder }> {
  const folder = await JobFolder.open(id);
  // The record of a running job may be outdated.
  const job = runner?.job.id === id ? runner.job : await folder.readRecord();
  if (!job) throw failure("Damaged", "the stored job is corrupted: delete it");
  return { job, folder };
}

const handlers: Handlers = {
  open: ({ device }) => session.open(device),
  loadModel: ({ files, name, weights }) => session.loadModel(files, name, weights),
  checkModelFile: async ({ file, name }) => {
    await checkModelFile(file, name);
    return null;
  },
  loadText: ({ role, file }) => session.loadText(role, file),
  dropText: ({ role }) => {
    session.dropText(role);
    return null;
  },
  preview: ({ role, maxLength }) => session.preview(role, maxLength),
  measure: ({ settings }) => session.measure(settings),
  budget: ({ settings, seconds }) => session.budget(settings, seconds),
  plan: ({ settings }) => session.plan(settings),
  start: ({ settings }) => start(settings),
  pause: () => {
    runner?.pause();
    return null;
  },
  resume: () => {
    runner?.resume();
    return null;
  },
  stop: () => {
    runner?.stop();
    return null;
  },
  jobs,
  resumeJob: ({ id }) => resumeJob(id),
  deleteJob: async ({ id }) => {
    if ((await heldLocks()).has(lockOf(id))) {
      throw failure("Busy", "this job is running: stop it first");
    }
    await JobFolder.remove(id);
    return null;
  },
  files: async ({ id, method }) => trainedFiles((await open(id)).folder, method),
  gguf: async ({ id, method, kind }) => {
    const { job, folder } = await open(id);
    return toGguf(job, folder, session.device, method, kind);
  },
  report: async ({ id }) => {
    const { job, folder } = await open(id);
    return report(job, folder);
  },
  examine: async ({ vectors }) =>
    session.device.examine(vectors ?? undefined, (check) => send({ type: "examined", check })),
};

async function answer({ id, command }: Request): Promise<void> {
  try {
    await ready;
    const handle = handlers[command.type] as (command: Command) => unknown;
    send({ type: "reply", id, value: await handle(command) });
  } catch (error) {
    const failed = toFailure(error);
    send({ type: "failure", id, failure: failed });
    if (failed.kind === "Crash") send({ type: "lost", message: failed.message });
  }
}

/** Commands run in order, except those that control the running job. */
let last: Promise<void> = Promise.resolve();
self.onmessage = ({ data }: MessageEvent<Request>) => {
  const control = ["pause", "resume", "stop"].includes(data.command.type);
  if (control) void answer(data);
  else last = last.then(() => answer(data));
};

const lock = `minift-worker-${crypto.randomUUID()}`;
const alive = new Promise<void>((resolve) => {
  // Held until the worker ends.
  void navigator.locks.request(lock, () => {
    resolve();
    return new Promise<never>(() => undefined);
  });
});
const ready = Promise.all([init(), alive.then(() => send({ type: "alive", lock }))]);
ready.catch((error: unknown) => send({ type: "lost", message: toFailure(error).message }));
