import type { DialPoint, Job, Method } from "../../package/index.js";
import { MiniftError } from "../../package/index.js";
import type { App } from "../app.js";
import type { Dialled } from "../state.js";
import { errorText, isLoss } from "./words.js";

/** Milliseconds without a further change before a strength is measured. */
const DELAY = 150;

/** The chosen strengths of the finished trainings of the job shown. */
export class Dial {
  readonly #app: App;
  readonly #timers = new Map<Method, number>();
  /** The training that is being measured, and the measurements of others that wait for it. */
  #measured: Method | null = null;
  readonly #waiting = new Map<Method, () => void>();

  constructor(app: App) {
    this.#app = app;
  }

  /** Chooses the strength of a training, from 0 to 1, and measures the model at it. */
  choose(job: Job, method: Method, weight: number): void {
    if (this.#app.state.dials[method]?.weight === weight) return;
    this.#change(method, { weight, point: null, busy: true, error: null });
    clearTimeout(this.#timers.get(method));
    const timer = setTimeout(() => void this.#measure(job, method, weight), DELAY);
    this.#timers.set(method, timer);
  }

  /** Takes the parts of a measurement that are complete. */
  receive(id: string, method: Method, point: DialPoint): void {
    const { job, dials } = this.#app.state;
    const dialled = dials[method];
    if (job?.id === id && dialled?.weight === point.weight) this.#change(method, { ...dialled, point });
  }

  async #measure(job: Job, method: Method, weight: number): Promise<void> {
    // A request ends the one before it, which only a later strength of the same training may do.
    if (this.#measured !== null && this.#measured !== method) {
      this.#waiting.set(method, () => void this.#measure(job, method, weight));
      return;
    }
    const isShown = (): boolean => this.#app.state.job?.id === job.id;
    if (!isShown()) {
      this.#next();
      return;
    }
    this.#measured = method;
    const current = (): Dialled | null => {
      const dialled = this.#app.state.dials[method];
      return isShown() && dialled?.weight === weight ? dialled : null;
    };
    try {
      const point = await this.#app.client.request({ type: "dial", id: job.id, method, weight });
      const dialled = current();
      if (dialled) this.#change(method, { ...dialled, point, busy: false });
    } catch (error) {
      const dialled = current();
      if (!dialled) return;
      const isSuperseded = error instanceof MiniftError && error.kind === "Superseded";
      const message = isSuperseded || isLoss(error) ? null : errorText(error);
      this.#change(method, { ...dialled, busy: false, error: message });
    } finally {
      if (this.#app.state.dials[method]?.busy !== true) this.#next();
    }
  }

  #next(): void {
    this.#measured = null;
    const [waiting] = this.#waiting;
    if (!waiting) return;
    const [method, measure] = waiting;
    this.#waiting.delete(method);
    measure();
  }

  #change(method: Method, dialled: Dialled): void {
    this.#app.set({ dials: { ...this.#app.state.dials, [method]: dialled } });
  }
}
