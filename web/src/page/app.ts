import { applyEvent, Client, defaultSettings, MiniftError } from "../package/index.js";
import type {
  DeviceChoice,
  Job,
  JobEvent,
  JobSettings,
  Method,
  TextRole,
  Texts,
} from "../package/index.js";
import { toCsv } from "./csv.js";
import { save, zip } from "./download.js";
import type { NumberKey } from "./fields.js";
import { folderName, guessRole, mergeFiles, missingFiles, recognise } from "./files.js";
import { count, duration, percent, sentence } from "./format.js";
import { fromFragment, toFragment } from "./link.js";
import { checkpointStep, METHOD_NAMES, progress, verdict } from "./metrics.js";
import { initialState, isLive } from "./state.js";
import type { State, TextSlot } from "./state.js";
import { Store } from "./store.js";

/** Seconds that a first run is sized to. */
export const BUDGET_SECONDS = 120;

/** Settings that are sized to the time, unless somebody chooses one of them. */
const SIZED = ["samples", "evaluationSamples", "evaluations"] as const;

/** Prompt for the embedded tickets. */
const TICKET_PROMPT = "Bike: city bike, 7-speed hub, back-pedal brake\nComplaint:";
/** Words of an own text's first sample that make its prompt. */
const PROMPT_WORDS = 8;
/** Milliseconds between drawings while steps pour in. */
const FLUSH_INTERVAL = 250;
/** Milliseconds between what a screen reader is told. */
const ANNOUNCE_INTERVAL = 10_000;
/** Milliseconds after a change before a plan is asked for. */
const PLAN_DELAY = 200;
/** Losses of the worker without anything done in between, after which it is left alone. */
const LOSSES_ALLOWED = 3;

/** An error in words. */
function words(error: unknown): string {
  return sentence(error instanceof Error ? error.message : String(error));
}

/** Whether an error is the worker's loss, which is told once and for all elsewhere. */
function isLoss(error: unknown): boolean {
  return error instanceof MiniftError && error.kind === "Lost";
}

/** What the page does, and what it knows. */
export class App {
  readonly store = new Store<State>(initialState());
  readonly #client: Client;
  #events: { id: string; event: JobEvent }[] = [];
  #flushTimer = 0;
  #planTimer = 0;
  #announced = 0;
  #losses = 0;
  /** Counts what the device is prepared for: what is older than the newest is let go. */
  #preparation = 0;
  /** What a job has to wait for. */
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

  /** Opens everything that a first press of Start needs. */
  async open(): Promise<void> {
    this.readLink();
    window.addEventListener("hashchange", () => this.readLink());
    void this.refreshJobs();
    await this.#openAll();
    // A page that was loaded anew finds its own old worker alive for a moment.
    if (this.state.jobs.value?.some(isLive)) await this.refreshJobs();
  }

  // What a run is made of

  /** Takes another device. */
  chooseDevice(choice: DeviceChoice): Promise<void> {
    this.#set({ choice });
    this.#writeLink();
    return this.#track(async () => {
      if (!(await this.#openDevice())) return;
      if (this.state.model.value) await this.#prepare();
      else await this.#openAll();
    });
  }

  /** Takes the embedded model again. */
  useEmbeddedModel(): Promise<void> {
    this.#setModel({ staged: [], error: null });
    return this.#takeModel(null);
  }

  /** Takes files of a model, which need not come all at once. */
  async addModelFiles(files: File[]): Promise<void> {
    const found = recognise(files);
    if (found.model.length === 0) {
      const message = found.otherWeights.length
        ? `${found.otherWeights[0]} cannot be read: the weights have to be safetensors.`
        : "There is no file of a model in this: it takes config.json, tokenizer.json and model.safetensors.";
      this.#setModel({ error: message });
      return;
    }
    const staged = mergeFiles(this.state.model.staged, found.model);
    const missing = missingFiles(staged);
    const other = missing.includes("model.safetensors") && found.otherWeights[0];
    const error = other ? `${other} cannot be read: the weights have to be safetensors.` : null;
    this.#setModel({ staged, error });
    if (missing.length === 0) await this.#takeModel(staged);
    else if (!error) await this.#checkStaged(found.model);
  }

  /** Says at once what is wrong with files of a model that is not complete, and lets go of them. */
  async #checkStaged(files: File[]): Promise<void> {
    for (const file of files) {
      try {
        const name = folderName(files) ?? "model";
        await this.#client.request({ type: "checkModelFile", file, name });
      } catch (error) {
        if (isLoss(error)) return;
        const staged = this.state.model.staged.filter((other) => other !== file);
        this.#setModel({ staged, error: words(error) });
        return;
      }
    }
  }

  /** Lets go of files of a model that is not complete. */
  dropStaged(): void {
    this.#setModel({ staged: [], error: null });
  }

  /** Takes a text; null takes the embedded one, or none where none is embedded. */
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

  /** Takes whatever was dropped, a text for the role of the place it was dropped on. */
  async take(files: File[], role: TextRole | null): Promise<void> {
    const { model, otherWeights, texts, unknown } = recognise(files);
    this.#set({ dropNote: null });
    const [first] = texts;
    const hasModel = model.length > 0 || otherWeights.length > 0;
    if (hasModel) await this.addModelFiles(files);
    if (!first) {
      if (hasModel) return;
      const dropped = unknown[0] ? `${unknown[0]} is` : "That is";
      const dropNote = `${dropped} neither a file of a model nor a text (.txt, .md, .jsonl, .csv or .tsv).`;
      this.#set({ dropNote });
    } else if (texts.length === 1) await this.useText(role ?? guessRole(first.name), first);
    else {
      // The domain first: a new one drops the held-out text of the one before.
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

  /** Notes what is wrong with a field; null where nothing is. */
  complain(key: NumberKey, message: string | null): void {
    const { [key]: _, ...invalid } = this.state.invalid;
    this.#set({ invalid: message === null ? invalid : { ...invalid, [key]: message } });
  }

  /** Takes the default settings again. */
  resetSettings(): void {
    this.#set({ settings: defaultSettings, invalid: {}, sizedByTime: true, ownPrompt: false });
    this.#suggestPrompt();
    this.#writeLink();
    void this.#prepare();
  }

  /** Sizes the run anew to the time of a first run. */
  fitToTime(): void {
    this.#set({ sizedByTime: true });
    this.#writeLink();
    void this.#prepare();
  }

  // Links

  /** Takes what the address says. */
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

  /** A link that opens the page with these settings. */
  link(settings?: JobSettings): string {
    const fragment = settings ? toFragment(settings, this.state.choice) : this.#fragment();
    return location.href.replace(/#.*$/, "") + fragment;
  }

  dismissLinkNotes(): void {
    this.#set({ linkNotes: [] });
  }

  // Jobs

  /** Starts a job, as soon as everything is ready for it. */
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
      if (!isLoss(error)) this.#set({ startError: words(error) });
    } finally {
      this.#set({ starting: false });
      this.#flush();
    }
  }

  /** Goes on with a stored job. */
  async resumeJob(id: string): Promise<void> {
    if (this.state.starting) return;
    this.#set({ starting: true, startError: null, lost: null });
    try {
      await this.#settle();
      this.#show(await this.#client.request({ type: "resumeJob", id }));
    } catch (error) {
      if (!isLoss(error)) this.#set({ startError: words(error) });
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

  /** Goes back to the setup. */
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
      this.#set({ jobs: { ...this.state.jobs, error: words(error) } });
      return;
    }
    await this.refreshJobs();
  }

  /** Reads the list of stored jobs. */
  async refreshJobs(): Promise<void> {
    try {
      const value = await this.#client.request({ type: "jobs" });
      this.#set({ jobs: { value, busy: false, error: null } });
      const { job } = this.state;
      const stored = value.find(({ id }) => id === job?.id);
      // What was cut off is known better from its record, now that its worker is gone.
      const cutOff = isLive(job) || job?.state === "interrupted";
      if (stored && cutOff && !isLive(stored)) this.#set({ job: stored });
    } catch (error) {
      if (!isLoss(error)) this.#set({ jobs: { ...this.state.jobs, error: words(error) } });
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

  /** Checks the device against reference values. */
  async examine(): Promise<void> {
    this.#set({ checks: [], checking: true, checkError: null });
    try {
      const checks = await this.#client.request({ type: "examine", vectors: null });
      this.#set({ checks });
    } catch (error) {
      this.#set({ checkError: words(error) });
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

  /** Does something that a job has to wait for. */
  #track(work: () => Promise<void>): Promise<void> {
    const promise = work().finally(() => this.#pending.delete(promise));
    this.#pending.add(promise);
    return promise;
  }

  /** Waits until everything is done that a job has to wait for. */
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
      const message = isLoss(error) ? null : words(error);
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
      // The files stay staged, so that the one that is wrong can be replaced.
      this.#setModel({ busy: false, error: isLoss(error) ? null : words(error) });
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
      this.#setText(role, { busy: false, error: isLoss(error) ? null : words(error) });
      return false;
    }
  }

  #suggestPrompt(): void {
    const { ownPrompt, texts, settings } = this.state;
    if (ownPrompt) return;
    const { value, file } = texts.domain;
    if (value) this.#set({ settings: { ...settings, prompt: promptFor(value, file) } });
  }

  /** Measures a step on what is loaded and sizes the run; the newest call wins. */
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
        // Other settings may have changed meanwhile; somebody's own samples are left alone.
        if (isNewest() && this.state.sizedByTime) {
          const { samples, evaluationSamples, evaluations } = sized;
          const settings = { ...this.state.settings, samples, evaluationSamples, evaluations };
          this.#set({ settings });
        }
      }
      await this.#plan();
    } catch (error) {
      const message = isLoss(error) ? null : words(error);
      if (isNewest()) this.#set({ pace: { value: null, busy: false, error: message } });
    } finally {
      if (isNewest()) this.#set({ pace: { ...this.state.pace, busy: false } });
    }
  }

  #planSoon(): void {
    clearTimeout(this.#planTimer);
    this.#planTimer = setTimeout(() => void this.#planAnew(), PLAN_DELAY);
  }

  /** Plans, and measures what could not be measured before, such as with a setting out of range. */
  async #planAnew(): Promise<void> {
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
      const message = isLoss(error) ? null : words(error);
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

  // What happens in a job

  #show(job: Job): void {
    this.#losses = 0;
    this.#set({ job, view: "job", asked: null, downloadError: null });
    this.#say("The run has begun.");
  }

  #steer(type: "pause" | "resume" | "stop"): void {
    this.#set({ asked: type });
    this.#client.request({ type }).catch(() => this.#set({ asked: null }));
  }

  #receive(id: string, event: JobEvent): void {
    this.#events.push({ id, event });
    // Steps can come by the hundred: they are drawn together, a few times a second. A timer also
    // runs in a hidden tab, which a frame does not.
    this.#flushTimer ||= setTimeout(() => this.#flush(), FLUSH_INTERVAL);
  }

  #flush(): void {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = 0;
    // The first events of a job come before the answer that tells which job it is.
    if (this.state.starting) return;
    const events = this.#events;
    this.#events = [];
    const before = this.state.job;
    if (!before || events.length === 0) return;
    let job = before;
    for (const { id, event } of events) if (id === job.id) job = applyEvent(job, event);
    const turned = events.some(({ event }) => event.type === "state");
    this.#set(turned ? { job, asked: null } : { job });
    this.#announce(job, turned);
    if (turned && !isLive(job)) void this.refreshJobs();
  }

  #announce(job: Job, turned: boolean): void {
    const now = Date.now();
    if (!turned && now - this.#announced < ANNOUNCE_INTERVAL) return;
    this.#announced = now;
    this.#say(spoken(job));
  }

  #say(announcement: string): void {
    this.#set({ announcement });
  }

  async #lose(message: string): Promise<void> {
    this.#losses += 1;
    // The last events tell why a job failed.
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
      // Something is wrong that a new worker does not cure.
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
      this.#set({ downloadError: words(error) });
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

  /** The fragment of what somebody chose: what the page chose itself is another on another device. */
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
  if (!file) return TICKET_PROMPT;
  return info.first.trim().split(/\s+/).slice(0, PROMPT_WORDS).join(" ");
}

/** A job's state as a screen reader says it. */
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
      return `The run failed: ${job.message ?? "no reason is known"}`;
    default:
      return `Stopped; the last checkpoint is at step ${count(checkpointStep(job))}`;
  }
}

/** The title of the page's tab. */
export function title({ job, starting }: State): string {
  if (job?.state === "running") return `${percent(progress(job).share)} · minift`;
  if (job?.state === "paused") return `Paused · minift`;
  if (job?.state === "finished") {
    const names = job.trainings.map(({ method }) => METHOD_NAMES[method]).join(" and ");
    return `${names} done · minift`;
  }
  return starting ? "Starting · minift" : "minift";
}
