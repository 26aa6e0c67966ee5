import type { Client } from "../package/index.js";
import { Chat } from "./app/chat.js";
import { DeviceCheck } from "./app/device-check.js";
import { Dial } from "./app/dial.js";
import { Downloads } from "./app/downloads.js";
import { Inputs } from "./app/inputs.js";
import { Preparation } from "./app/preparation.js";
import { Runs } from "./app/runs.js";
import { Settings } from "./app/settings.js";
import { StoredJobs } from "./app/stored-jobs.js";
import { sentence } from "./format.js";
import type { State } from "./state.js";
import { initialState, isLive } from "./state.js";
import { Store } from "./store.js";

/** Consecutive losses of the worker after which it is not restarted. */
const LOSSES_ALLOWED = 3;

/** The page's state, and its actions by what they are about. */
export class App {
  readonly store = new Store<State>(initialState());
  readonly client: Client;
  readonly inputs = new Inputs(this);
  readonly settings = new Settings(this);
  readonly preparation = new Preparation(this);
  readonly runs = new Runs(this);
  readonly jobs = new StoredJobs(this);
  readonly dial = new Dial(this);
  readonly chat = new Chat(this);
  readonly downloads = new Downloads(this);
  readonly deviceCheck = new DeviceCheck(this);
  #losses = 0;
  /** Work that must finish before a job starts. */
  readonly #pending = new Set<Promise<unknown>>();

  constructor(client: Client) {
    this.client = client;
    client.onEvent((id, event) => this.runs.receive(id, event));
    client.onDial((id, method, point) => this.dial.receive(id, method, point));
    client.onText((id, voice, piece) => this.chat.receive(id, voice, piece));
    client.onLost((message) => void this.#lose(message));
    client.onCheck((check) => this.set({ checks: [...this.state.checks, check] }));
  }

  get state(): State {
    return this.store.state;
  }

  /** Opens the device and loads the model and texts. */
  async open(): Promise<void> {
    this.settings.readLink();
    window.addEventListener("hashchange", () => this.settings.readLink());
    void this.jobs.refresh();
    await this.inputs.openAll();
    // After a reload, the old worker of the page lives for a moment.
    if (this.state.jobs.value?.some(isLive)) await this.jobs.refresh();
  }

  /** Changes parts of the state. */
  set(patch: Partial<State>): void {
    this.store.set(patch);
  }

  /** Announces a text to screen readers. */
  say(announcement: string): void {
    this.set({ announcement });
  }

  /** Tracks work that must finish before a job starts. */
  track(work: () => Promise<void>): Promise<void> {
    const promise = work().finally(() => this.#pending.delete(promise));
    this.#pending.add(promise);
    return promise;
  }

  /** Whether tracked work is in progress. */
  get isBusy(): boolean {
    return this.#pending.size > 0;
  }

  /** Waits for all tracked work. */
  async settle(): Promise<void> {
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending);
  }

  /** The worker did what it was asked: earlier losses no longer count. */
  succeeded(): void {
    this.#losses = 0;
  }

  async #lose(message: string): Promise<void> {
    this.#losses += 1;
    this.runs.end();
    const job = isLive(this.state.job) ? this.state.job : null;
    const dead = this.#losses > LOSSES_ALLOWED;
    const none = { value: null, busy: false, error: null };
    this.set({
      lost: sentence(message),
      dead,
      asked: null,
      starting: false,
      checking: false,
      chat: { ...this.state.chat, hasTemplate: null, busy: false, stopping: false },
      device: none,
      pace: none,
      plan: none,
      jobs: { ...this.state.jobs, busy: false },
      ...(job && { job: { ...job, state: "interrupted", activity: null, secondsLeft: null } }),
    });
    this.say(`The training worker was lost: ${message}`);
    if (dead) {
      // A new worker would fail the same way.
      this.client.close();
      return;
    }
    await this.inputs.openAll();
    await this.jobs.refresh();
  }
}
