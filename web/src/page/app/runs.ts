import type { Job, JobEvent } from "../../package/index.js";
import { applyEvent } from "../../package/index.js";
import type { App } from "../app.js";
import { isLive, nothingChosen } from "../state.js";
import { errorText, isLoss, spoken } from "./words.js";

/** Milliseconds between renders while steps arrive. */
const FLUSH_INTERVAL = 250;
/** Milliseconds between announcements to screen readers. */
const ANNOUNCE_INTERVAL = 10_000;

/** The run in progress: its start, its commands and its events. */
export class Runs {
  readonly #app: App;
  #events: { id: string; event: JobEvent }[] = [];
  #flushTimer = 0;
  #announced = 0;

  constructor(app: App) {
    this.#app = app;
  }

  /** Starts a job once its inputs are ready. */
  start(): Promise<void> {
    if (isLive(this.#app.state.job)) return Promise.resolve();
    return this.#launch(async () => {
      const app = this.#app;
      await app.preparation.plan();
      if (!app.preparation.canStart) return null;
      return app.client.request({ type: "start", settings: app.state.settings });
    });
  }

  /** Resumes a stored job. */
  resumeStored(id: string): Promise<void> {
    return this.#launch(() => this.#app.client.request({ type: "resumeJob", id }));
  }

  /** Continues a finished job to a larger number of epochs. */
  trainLonger(id: string, epochs: number): Promise<void> {
    return this.#launch(() => this.#app.client.request({ type: "continueJob", id, epochs }));
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

  /** Returns to the setup. */
  setUp(): void {
    const { preparation, state } = this.#app;
    this.#app.set({ view: "setup", startError: null });
    if (!state.pace.value) void preparation.prepare();
    else preparation.planSoon();
  }

  /** Receives an event of a job. */
  receive(id: string, event: JobEvent): void {
    this.#events.push({ id, event });
    // Steps may arrive by the hundred and are rendered together, a few times per second. Unlike an
    // animation frame, a timer also runs in a hidden tab.
    this.#flushTimer ||= setTimeout(() => this.#flush(), FLUSH_INTERVAL);
  }

  /** Takes the last events of a lost worker, which contain the reason of a failure. */
  end(): void {
    this.#flush();
    this.#events = [];
  }

  async #launch(begin: () => Promise<Job | null>): Promise<void> {
    const app = this.#app;
    if (app.state.starting) return;
    app.set({ starting: true, startError: null, lost: null });
    try {
      await app.settle();
      const job = await begin();
      if (job) this.#show(job);
    } catch (error) {
      if (!isLoss(error)) app.set({ startError: errorText(error) });
    } finally {
      app.set({ starting: false });
      this.#flush();
    }
  }

  #show(job: Job): void {
    this.#app.succeeded();
    this.#app.set({ job, view: "job", asked: null, ...nothingChosen });
    this.#app.say("The run has started.");
  }

  #steer(type: "pause" | "resume" | "stop"): void {
    this.#app.set({ asked: type });
    this.#app.client.request({ type }).catch(() => this.#app.set({ asked: null }));
  }

  #flush(): void {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = 0;
    // The first events of a job arrive before the reply that identifies it.
    if (this.#app.state.starting) return;
    const events = this.#events;
    this.#events = [];
    const before = this.#app.state.job;
    if (!before || events.length === 0) return;
    let job = before;
    for (const { id, event } of events) if (id === job.id) job = applyEvent(job, event);
    const stateChanged = events.some(({ event }) => event.type === "state");
    this.#app.set(stateChanged ? { job, asked: null } : { job });
    this.#announce(job, stateChanged);
    if (stateChanged && !isLive(job)) void this.#app.jobs.refresh();
  }

  #announce(job: Job, now: boolean): void {
    const time = Date.now();
    if (!now && time - this.#announced < ANNOUNCE_INTERVAL) return;
    this.#announced = time;
    this.#app.say(spoken(job));
  }
}
