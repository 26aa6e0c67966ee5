import type { Client, DeviceChoice, Job, JobEvent, JobSettings, Method, TextRole, Texts } from "../package/index.js";
import { applyEvent, defaultSettings, embeddedPrompt, MiniftError, methodTitles } from "../package/index.js";
import { toCsv } from "./csv.js";
import { save, zip } from "./download.js";
import type { NumberKey } from "./fields.js";
import { folderName, guessRole, mergeFiles, missingFiles, sortFiles } from "./files.js";
import { count, duration, percent, sentence } from "./format.js";
import { fromFragment, toFragment } from "./link.js";
import { checkpointStep, progress, verdict } from "./metrics.js";
import type { State, TextSlot } from "./state.js";
import { initialState, isLive } from "./state.js";
import { Store } from "./store.js";

/** Target duration of a run sized by time, in seconds. */
export const BUDGET_SECONDS = 120;

/** Settings that are sized by time until the user changes one of them. */
const SIZED = ["samples", "evaluationSamples", "evaluations"] as const;

/** Words of a text's first sample that form its prompt. */
const PROMPT_WORDS = 8;
/** Milliseconds between renders while steps arrive. */
const FLUSH_INTERVAL = 250;
/** Milliseconds between announcements to screen readers. */
const ANNOUNCE_INTERVAL = 10_000;
/** Milliseconds after a change before a plan is requested. */
const PLAN_DELAY = 200;
/** Consecutive losses of the worker after which it is not restarted. */
const LOSSES_ALLOWED = 3;

/** Formats an error as a sentence. */
function errorText(error: unknown): string {
  return sentence(error instanceof Error ? error.message : String(error));
}

/** Whether an error is the loss of the worker, which `onLost` reports. */
function isLoss(error: unknown): boolean {
  return error instanceof MiniftError && error.kind === "Lost";
}

/** The page's state and actions. */
export class App {
  readonly store = new Store<State>(initialState());
  readonly #client: Client;
  #events: { id: string; event: JobEvent }[] = [];
  #flushTimer = 0;
  #planTimer = 0;
  #announced = 0;
  #losses = 0;
  /** Number of the latest preparation; earlier ones are abandoned. */
  #preparation = 0;
  /** Work that must finish before a job starts. */
  readonly #pending = new Set<Promise<unknown>>();

  constructor(client: Client) {
    this.#client = client;
    client.onEvent((id, event) => this.#receive(id, event));
    client.onLost((message) => void this.#lose(message));
    client.onCheck((check) => this.#set({ checks: [...this.state.checks, check] }));
  }

  get state(): State {
    return this.store.state;
  }

  /** Opens the device and loads the model and texts. */
  async open(): Promise<void> {
    this.readLink();
    window.addEventListener("hashchange", () => this.readLink());
    void this.refreshJobs();
    await this.#openAll();
    // After a reload, the old worker of the page lives for a moment.
    if (this.state.jobs.value?.some(isLive)) await this.refreshJobs();
  }

  // Inputs

  /** Selects a device. */
  chooseDevice(choice: DeviceChoice): Promise<void> {
    this.#set({ choice });
    this.#writeLink();
    return this.#track(async () => {
      if (!(await this.#openDevice())) return;
      if (this.state.model.value) await this.#prepare();
      else await this.#openAll();
    });
  }

  /** Selects the embedded model. */
  useEmbeddedModel(): Promise<void> {
    this.#setModel({ staged: [], error: null });
    return this.#takeModel(null);
  }

  /** Adds files of a model, which may arrive one by one. */
  async addModelFiles(files: File[]): Promise<void> {
    const found = sortFiles(files);
    if (found.model.length === 0) {
      const message = found.otherWeights.length
        ? `${found.otherWeights[0]} is not supported: weights must be safetensors or GGUF.`
        : "No model files found: a .gguf file, or config.json, tokenizer.json and model.safetensors are required.";
      this.#setModel({ error: message });
      return;
    }
    const staged = mergeFiles(this.state.model.staged, found.model);
    const missing = missingFiles(staged);
    const other = missing.includes("model.safetensors") && found.otherWeights[0];
    const error = other ? `${other} is not supported: weights must be safetensors or GGUF.` : null;
    this.#setModel({ staged, error });
    if (missing.length === 0) await this.#takeModel(staged);
    else if (!error) await this.#checkStaged(found.model);
  }

  /** Checks the files of an incomplete model and discards invalid ones. */
  async #checkStaged(files: File[]): Promise<void> {
    for (const file of files) {
      try {
        const name = folderName(files) ?? "model";
        await this.#client.request({ type: "checkModelFile", file, name });
      } catch (error) {
        if (isLoss(error)) return;
        const staged = this.state.model.staged.filter((other) => other !== file);
        this.#setModel({ staged, error: errorText(error) });
        return;
      }
    }
  }

  /** Discards the files of an incomplete model. */
  dropStaged(): void {
    this.#setModel({ staged: [], error: null });
  }

  /** Selects a text; null selects the embedded text, or none for the held-out set. */
  useText(role: TextRole, file: File | null): Promise<void> {
    return this.#track(async () => {
      if (role === "held-out" && !file) {
        this.#setText(role, { value: null, file: null, error: null });
        await this.#client.request({ type: "dropText", role }).catch(() => null);
      } else if (!(await this.#loadText(role, file))) {
        return;
      }
      await this.#prepare();
    });
  }

  /** Adds dropped files; `role` is the role of the row they were dropped on. */
  async take(files: File[], role: TextRole | null): Promise<void> {
    const { model, otherWeights, texts, unknown } = sortFiles(files);
    this.#set({ dropNote: null });
    const [first] = texts;
    const hasModel = model.length > 0 || otherWeights.length > 0;
    if (hasModel) await this.addModelFiles(files);
    if (!first) {
      if (hasModel) return;
      const dropNote = `${unknown[0] ?? "This"} is neither a model file nor a text (.txt, .md, .jsonl, .csv or .tsv).`;
      this.#set({ dropNote });
    } else if (texts.length === 1) await this.useText(role ?? guessRole(first.name), first);
    else {
      // The domain comes first: a new one drops the previous held-out text.
      const roles = texts.map((text) => ({ text, role: guessRole(text.name) }));
      const domain = roles.filter(({ role }) => role === "domain");
      const others = roles.filter(({ role }) => role !== "domain");
      for (const { text, role } of [...domain, ...others]) await this.useText(role, text);
    }
  }

  /** Changes settings. */
  change(patch: Partial<JobSettings>): void {
    const { settings, sizedByTime, ownPrompt } = this.state;
    const sized = SIZED.some((key) => patch[key] !== undefined);
    this.#set({
      settings: { ...settings, ...patch },
      sizedByTime: sizedByTime && !sized,
      ownPrompt: ownPrompt || patch.prompt !== undefined,
      startError: null,
    });
    this.#writeLink();
    this.#planSoon();
  }

  /** Sets the message of an invalid field; null if it is valid. */
  setInvalid(key: NumberKey, message: string | null): void {
    const { [key]: _, ...invalid } = this.state.invalid;
    this.#set({ invalid: message === null ? invalid : { ...invalid, [key]: message } });
  }

  /** Restores the default settings. */
  resetSettings(): void {
    this.#set({ settings: defaultSettings, invalid: {}, sizedByTime: true, ownPrompt: false });
    this.#suggestPrompt();
    this.#writeLink();
    void this.#prepare();
  }

  /** Sizes the run by time again. */
  fitToTime(): void {
    this.#set({ sizedByTime: true });
    this.#writeLink();
    void this.#prepare();
  }

  // Links

  /** Reads the settings from the address. */
  readLink(): void {
    if (location.hash === this.#fragment()) return;
    const { settings, device, notes } = fromFragment(location.hash);
    const sized = SIZED.some((key) => settings[key] !== undefined);
    const choice = device ?? "auto";
    const changed = choice !== this.state.choice;
    this.#set({
      settings: { ...defaultSettings, ...settings },
      choice,
      linkNotes: notes,
      sizedByTime: !sized,
      ownPrompt: settings.prompt !== undefined,
      invalid: {},
    });
    this.#suggestPrompt();
    if (!this.state.device.value || isLive(this.state.job)) return;
    void (changed ? this.chooseDevice(choice) : this.#prepare());
  }

  /** Returns a link to these settings. */
  link(settings?: JobSettings): string {
    const fragment = settings ? toFragment(settings, this.state.choice) : this.#fragment();
    return location.href.replace(/#.*$/, "") + fragment;
  }

  dismissLinkNotes(): void {
    this.#set({ linkNotes: [] });
  }

  // Jobs

  /** Starts a job once its inputs are ready. */
  async start(): Promise<void> {
    if (this.state.starting || isLive(this.state.job)) return;
    this.#set({ starting: true, startError: null, lost: null });
    try {
      await this.#settle();
      await this.#plan();
      if (!this.#canStart()) return;
      const { settings } = this.state;
      this.#show(await this.#client.request({ type: "start", settings }));
    } catch (error) {
      if (!isLoss(error)) this.#set({ startError: errorText(error) });
    } finally {
      this.#set({ starting: false });
      this.#flush();
    }
  }

  /** Resumes a stored job. */
  async resumeJob(id: string): Promise<void> {
    if (this.state.starting) return;
    this.#set({ starting: true, startError: null, lost: null });
    try {
      await this.#settle();
      this.#show(await this.#client.request({ type: "resumeJob", id }));
    } catch (error) {
      if (!isLoss(error)) this.#set({ startError: errorText(error) });
    } finally {
      this.#set({ starting: false });
      this.#flush();
    }
  }

  pause(): void {
    this.#steer("pause");
  }

  resume(): void {
    this.#steer("resume");
  }

  stop(): void {
    this.#steer("stop");
  }

  /** Shows a stored job. */
  openJob(job: Job): void {
    this.#set({ job, view: "job", startError: null, downloadError: null });
  }

  /** Returns to the setup. */
  setUp(): void {
    this.#set({ view: "setup", startError: null });
    if (!this.state.pace.value) void this.#prepare();
    else this.#planSoon();
  }

  async deleteJob(id: string): Promise<void> {
    try {
      await this.#client.request({ type: "deleteJob", id });
      if (this.state.job?.id === id) this.#set({ job: null, view: "setup" });
    } catch (error) {
      if (isLoss(error)) return;
      this.#set({ jobs: { ...this.state.jobs, error: errorText(error) } });
      return;
    }
    await this.refreshJobs();
  }

  /** Refreshes the list of stored jobs. */
  async refreshJobs(): Promise<void> {
    try {
      const value = await this.#client.request({ type: "jobs" });
      this.#set({ jobs: { value, busy: false, error: null } });
      const { job } = this.state;
      const stored = value.find(({ id }) => id === job?.id);
      // The record of an interrupted job is more accurate than the page's copy.
      const interrupted = isLive(job) || job?.state === "interrupted";
      if (stored && interrupted && !isLive(stored)) this.#set({ job: stored });
    } catch (error) {
      if (!isLoss(error)) this.#set({ jobs: { ...this.state.jobs, error: errorText(error) } });
    }
  }

  // Downloads

  /** Downloads a finished model as a zip archive. */
  async downloadModel(job: Job, method: Method): Promise<void> {
    await this.#download(method, async () => {
      const files = await this.#client.request({ type: "files", id: job.id, method });
      const { adapter } = job.settings;
      const kind = adapter === "none" ? "" : `-${adapter}`;
      const folder = `${job.model.name}-${method}${kind}`;
      save(await zip(folder, files), `${folder}.zip`);
    });
  }

  /** Downloads a job's run.json. */
  async downloadReport(job: Job): Promise<void> {
    await this.#download("report", async () => {
      const report = await this.#client.request({ type: "report", id: job.id });
      save(new Blob([report], { type: "application/json" }), "run.json");
    });
  }

  /** Downloads the data of a job's charts. */
  downloadCsv(job: Job): void {
    save(new Blob([toCsv(job)], { type: "text/csv" }), `${job.model.name}-run.csv`);
  }

  /** Verifies that the device computes correct results. */
  async examine(): Promise<void> {
    this.#set({ checks: [], checking: true, checkError: null });
    try {
      const checks = await this.#client.request({ type: "examine", vectors: null });
      this.#set({ checks });
    } catch (error) {
      this.#set({ checkError: errorText(error) });
    } finally {
      this.#set({ checking: false });
    }
  }

  // Preparation

  #openAll(): Promise<void> {
    return this.#track(async () => {
      if (!this.state.device.value && !(await this.#openDevice())) return;
      const { model, texts } = this.state;
      const loaded = [
        await this.#loadModel(model.files),
        await this.#loadText("domain", texts.domain.file),
        await this.#loadText("general", texts.general.file),
      ];
      const heldOut = texts["held-out"].file;
      if (heldOut) loaded.push(await this.#loadText("held-out", heldOut));
      if (loaded.every(Boolean)) await this.#prepare();
    });
  }

  #takeModel(files: File[] | null): Promise<void> {
    return this.#track(async () => {
      if (await this.#loadModel(files)) await this.#prepare();
    });
  }

  /** Tracks work that must finish before a job starts. */
  #track(work: () => Promise<void>): Promise<void> {
    const promise = work().finally(() => this.#pending.delete(promise));
    this.#pending.add(promise);
    return promise;
  }

  /** Waits for all tracked work. */
  async #settle(): Promise<void> {
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending);
  }

  async #openDevice(): Promise<boolean> {
    this.#set({ device: { ...this.state.device, busy: true, error: null } });
    const { choice } = this.state;
    try {
      const value = await this.#client.request({ type: "open", device: choice });
      this.#set({
        device: { value, busy: false, error: null },
        pace: { value: null, busy: false, error: null },
        checks: [],
      });
      return true;
    } catch (error) {
      const message = isLoss(error) ? null : errorText(error);
      this.#set({ device: { ...this.state.device, busy: false, error: message } });
      return false;
    }
  }

  async #loadModel(files: File[] | null): Promise<boolean> {
    this.#setModel({ busy: true, error: null });
    try {
      const value = await this.#client.request({
        type: "loadModel",
        files,
        name: (files && folderName(files)) ?? "model",
      });
      this.#setModel({ value, files, staged: [], busy: false });
      return true;
    } catch (error) {
      // The files stay staged, so that the invalid one can be replaced.
      this.#setModel({ busy: false, error: isLoss(error) ? null : errorText(error) });
      return false;
    }
  }

  async #loadText(role: TextRole, file: File | null): Promise<boolean> {
    this.#setText(role, { busy: true, error: null });
    try {
      const value = await this.#client.request({ type: "loadText", role, file });
      this.#setText(role, { value, file, busy: false });
      if (role === "domain") this.#suggestPrompt();
      return true;
    } catch (error) {
      this.#setText(role, { busy: false, error: isLoss(error) ? null : errorText(error) });
      return false;
    }
  }

  #suggestPrompt(): void {
    const { ownPrompt, texts, settings } = this.state;
    if (ownPrompt) return;
    const { value, file } = texts.domain;
    if (value) this.#set({ settings: { ...settings, prompt: promptFor(value, file) } });
  }

  /** Measures a step and sizes the run; the latest call wins. */
  #prepare(): Promise<void> {
    const preparation = ++this.#preparation;
    return this.#track(() => this.#measureAndSize(() => preparation === this.#preparation));
  }

  async #measureAndSize(isNewest: () => boolean): Promise<void> {
    if (isLive(this.state.job)) return;
    this.#set({ pace: { value: null, busy: true, error: null } });
    try {
      await this.#plan();
      const stops = this.state.plan.error ?? this.state.plan.value?.problems.find((p) => p.stops);
      if (stops || !this.#isValid() || !isNewest()) return;
      const value = await this.#client.request({ type: "measure", settings: this.state.settings });
      if (!isNewest()) return;
      this.#set({ pace: { value, busy: true, error: null } });
      if (this.state.sizedByTime) {
        const sized = await this.#client.request({
          type: "budget",
          settings: { ...this.state.settings, evaluations: defaultSettings.evaluations },
          seconds: BUDGET_SECONDS,
        });
        // Settings may have changed meanwhile; user-set sample counts are kept.
        if (isNewest() && this.state.sizedByTime) {
          const { samples, evaluationSamples, evaluations } = sized;
          const settings = { ...this.state.settings, samples, evaluationSamples, evaluations };
          this.#set({ settings });
        }
      }
      await this.#plan();
    } catch (error) {
      const message = isLoss(error) ? null : errorText(error);
      if (isNewest()) this.#set({ pace: { value: null, busy: false, error: message } });
    } finally {
      if (isNewest()) this.#set({ pace: { ...this.state.pace, busy: false } });
    }
  }

  #planSoon(): void {
    clearTimeout(this.#planTimer);
    this.#planTimer = setTimeout(() => void this.#replan(), PLAN_DELAY);
  }

  /** Plans, and measures if an invalid setting prevented it before. */
  async #replan(): Promise<void> {
    await this.#plan();
    const { plan, pace } = this.state;
    const fits = plan.value && !plan.value.problems.some(({ stops }) => stops);
    const missing = !pace.value && !pace.busy && !pace.error;
    if (fits && missing && this.#pending.size === 0) await this.#prepare();
  }

  async #plan(): Promise<void> {
    clearTimeout(this.#planTimer);
    const { settings, model, texts, job } = this.state;
    if (!model.value || !texts.domain.value || !texts.general.value || isLive(job)) return;
    if (!this.#isValid()) return;
    this.#set({ plan: { ...this.state.plan, busy: true } });
    try {
      const value = await this.#client.request({ type: "plan", settings });
      this.#losses = 0;
      if (settings === this.state.settings) this.#set({ plan: { value, busy: false, error: null } });
      else this.#set({ plan: { ...this.state.plan, busy: false } });
    } catch (error) {
      const message = isLoss(error) ? null : errorText(error);
      this.#set({ plan: { value: null, busy: false, error: message } });
    }
  }

  #isValid(): boolean {
    return Object.keys(this.state.invalid).length === 0;
  }

  #canStart(): boolean {
    const { plan, model, texts } = this.state;
    if (!this.#isValid() || !model.value || !texts.domain.value || !texts.general.value) return false;
    return plan.error === null && !plan.value?.problems.some(({ stops }) => stops);
  }

  // Job events

  #show(job: Job): void {
    this.#losses = 0;
    this.#set({ job, view: "job", asked: null, downloadError: null });
    this.#say("The run has started.");
  }

  #steer(type: "pause" | "resume" | "stop"): void {
    this.#set({ asked: type });
    this.#client.request({ type }).catch(() => this.#set({ asked: null }));
  }

  #receive(id: string, event: JobEvent): void {
    this.#events.push({ id, event });
    // Steps may arrive by the hundred and are rendered together, a few times per second. Unlike an
    // animation frame, a timer also runs in a hidden tab.
    this.#flushTimer ||= setTimeout(() => this.#flush(), FLUSH_INTERVAL);
  }

  #flush(): void {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = 0;
    // The first events of a job arrive before the reply that identifies it.
    if (this.state.starting) return;
    const events = this.#events;
    this.#events = [];
    const before = this.state.job;
    if (!before || events.length === 0) return;
    let job = before;
    for (const { id, event } of events) if (id === job.id) job = applyEvent(job, event);
    const stateChanged = events.some(({ event }) => event.type === "state");
    this.#set(stateChanged ? { job, asked: null } : { job });
    this.#announce(job, stateChanged);
    if (stateChanged && !isLive(job)) void this.refreshJobs();
  }

  #announce(job: Job, now: boolean): void {
    const time = Date.now();
    if (!now && time - this.#announced < ANNOUNCE_INTERVAL) return;
    this.#announced = time;
    this.#say(spoken(job));
  }

  #say(announcement: string): void {
    this.#set({ announcement });
  }

  async #lose(message: string): Promise<void> {
    this.#losses += 1;
    // The last events contain the reason of a failure.
    this.#flush();
    this.#events = [];
    const job = isLive(this.state.job) ? this.state.job : null;
    const dead = this.#losses > LOSSES_ALLOWED;
    const none = { value: null, busy: false, error: null };
    this.#set({
      lost: sentence(message),
      dead,
      asked: null,
      starting: false,
      checking: false,
      device: none,
      pace: none,
      plan: none,
      jobs: { ...this.state.jobs, busy: false },
      ...(job && { job: { ...job, state: "interrupted", activity: null, secondsLeft: null } }),
    });
    this.#say(`The training worker was lost: ${message}`);
    if (dead) {
      // A new worker would fail the same way.
      this.#client.close();
      return;
    }
    await this.#openAll();
    await this.refreshJobs();
  }

  async #download(what: Method | "report", make: () => Promise<void>): Promise<void> {
    this.#set({ packing: what, downloadError: null });
    try {
      await make();
    } catch (error) {
      this.#set({ downloadError: errorText(error) });
    } finally {
      this.#set({ packing: null });
    }
  }

  // State

  #set(patch: Partial<State>): void {
    this.store.set(patch);
  }

  #setModel(patch: Partial<State["model"]>): void {
    this.#set({ model: { ...this.state.model, ...patch } });
  }

  #setText(role: TextRole, patch: Partial<TextSlot>): void {
    const { texts } = this.state;
    this.#set({ texts: { ...texts, [role]: { ...texts[role], ...patch } } });
  }

  /** Returns the fragment of the user's choices, without values that the page sized for this device. */
  #fragment(): string {
    const { settings, sizedByTime, ownPrompt, choice } = this.state;
    const { samples, evaluationSamples, evaluations, prompt, ...chosen } = settings;
    return toFragment(
      {
        ...chosen,
        ...(!sizedByTime && { samples, evaluationSamples, evaluations }),
        ...(ownPrompt && { prompt }),
      },
      choice,
    );
  }

  #writeLink(): void {
    const address = location.pathname + location.search + this.#fragment();
    history.replaceState(null, "", address);
  }
}

function promptFor({ info }: Texts, file: File | null): string {
  if (!file) return embeddedPrompt;
  return info.first.trim().split(/\s+/).slice(0, PROMPT_WORDS).join(" ");
}

/** Describes a job's state for screen readers. */
function spoken(job: Job): string {
  const { done, total, share } = progress(job);
  switch (job.state) {
    case "running": {
      const left = job.secondsLeft === null ? "" : `, ${duration(job.secondsLeft)} left`;
      const activity = job.activity ? `${job.activity.text}, ` : "";
      return total ? `${activity}${percent(share)}${left}` : activity.replace(/, $/, "");
    }
    case "paused":
      return `Paused at step ${count(done)} of ${count(total)}`;
    case "finished":
      return `Finished. ${verdict(job)}`;
    case "failed":
      return `The run failed: ${job.message ?? "unknown reason"}`;
    default:
      return `Stopped; the latest checkpoint is at step ${count(checkpointStep(job))}`;
  }
}

/** Returns the document title. */
export function title({ job, starting }: State): string {
  if (job?.state === "running") return `${percent(progress(job).share)} · minift`;
  if (job?.state === "paused") return "Paused · minift";
  if (job?.state === "finished") {
    const names = job.trainings.map(({ method }) => methodTitles[method]).join(" and ");
    return `${names} done · minift`;
  }
  return starting ? "Starting · minift" : "minift";
}
