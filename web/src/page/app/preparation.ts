import type { JobSettings } from "../../package/index.js";
import { defaultSettings, learningRates } from "../../package/index.js";
import type { App } from "../app.js";
import { FIRST_SECONDS, isLive } from "../state.js";
import { errorText, isLoss } from "./words.js";

/** Settings that are sized by time until the user changes one of them. */
export const SIZED = ["epochs", "learningRate", "samples", "evaluationSamples", "evaluations"] as const;

/** Epochs of a visitor's first run: the most in which it sees at least so many samples, else one. */
const FIRST_EPOCHS = [3, 2, 1];
const FIRST_SAMPLES = 300;
/** Evaluations of each training of a first run. */
const FIRST_EVALUATIONS = 3;
/** Learning rate of a first run on the embedded model, with which one epoch is enough to write like the domain. */
const FIRST_RATE = 3e-3;
/** Target duration of a run that is sized by time on request, in seconds. */
export const BUDGET_SECONDS = 120;
/** Milliseconds after a change before a plan is requested. */
const PLAN_DELAY = 200;

/** What happens before a run: a step is measured, the run is sized by time, and its cost is estimated. */
export class Preparation {
  readonly #app: App;
  #planTimer = 0;
  /** Number of the latest preparation; earlier ones are abandoned. */
  #latest = 0;

  constructor(app: App) {
    this.#app = app;
  }

  /** Measures a step and sizes the run; the latest call wins. */
  prepare(): Promise<void> {
    const preparation = ++this.#latest;
    return this.#app.track(() => this.#measureAndSize(() => preparation === this.#latest));
  }

  /** Plans shortly after the last of several changes, and measures if an invalid setting prevented it before. */
  planSoon(): void {
    clearTimeout(this.#planTimer);
    this.#planTimer = setTimeout(() => void this.#replan(), PLAN_DELAY);
  }

  /** Estimates the cost of the run. */
  async plan(): Promise<void> {
    clearTimeout(this.#planTimer);
    const app = this.#app;
    const { settings, model, texts, job } = app.state;
    if (!model.value || !texts.domain.value || !texts.general.value || isLive(job)) return;
    if (!this.#isValid) return;
    app.set({ plan: { ...app.state.plan, busy: true } });
    try {
      const value = await app.client.request({ type: "plan", settings });
      app.succeeded();
      if (settings === app.state.settings) app.set({ plan: { value, busy: false, error: null } });
      else app.set({ plan: { ...app.state.plan, busy: false } });
    } catch (error) {
      const message = isLoss(error) ? null : errorText(error);
      app.set({ plan: { value: null, busy: false, error: message } });
    }
  }

  /** Whether a run with the current settings and inputs can start. */
  get canStart(): boolean {
    const { plan, model, texts } = this.#app.state;
    if (!this.#isValid || !model.value || !texts.domain.value || !texts.general.value) return false;
    return plan.error === null && !plan.value?.problems.some(({ stops }) => stops);
  }

  get #isValid(): boolean {
    return Object.keys(this.#app.state.invalid).length === 0;
  }

  async #replan(): Promise<void> {
    await this.plan();
    const { plan, pace } = this.#app.state;
    const fits = plan.value && !plan.value.problems.some(({ stops }) => stops);
    const missing = !pace.value && !pace.busy && !pace.error;
    if (fits && missing && !this.#app.isBusy) await this.prepare();
  }

  async #measureAndSize(isNewest: () => boolean): Promise<void> {
    const app = this.#app;
    if (isLive(app.state.job)) return;
    app.set({ pace: { value: null, busy: true, error: null } });
    try {
      await this.plan();
      const stops = app.state.plan.error ?? app.state.plan.value?.problems.find((p) => p.stops);
      if (stops || !this.#isValid || !isNewest()) return;
      const value = await app.client.request({ type: "measure", settings: app.state.settings });
      if (!isNewest()) return;
      app.set({ pace: { value, busy: true, error: null } });
      if (app.state.sizedByTime) {
        const sized = await this.#sized();
        // Settings may have changed meanwhile; user-set values are kept.
        if (isNewest() && app.state.sizedByTime) app.set({ settings: { ...app.state.settings, ...sized } });
      }
      await this.plan();
    } catch (error) {
      const message = isLoss(error) ? null : errorText(error);
      if (isNewest()) app.set({ pace: { value: null, busy: false, error: message } });
    } finally {
      if (isNewest()) app.set({ pace: { ...app.state.pace, busy: false } });
    }
  }

  /** Returns the settings that fit the run into its time. */
  async #sized(): Promise<Pick<JobSettings, (typeof SIZED)[number]>> {
    const { state, client } = this.#app;
    const { settings, seconds, model } = state;
    const isFirst = seconds === FIRST_SECONDS;
    const isExample = isFirst && model.value?.embedded && settings.adapter === "none";
    const learningRate = isExample ? FIRST_RATE : learningRates[settings.adapter];
    const evaluations = isFirst ? FIRST_EVALUATIONS : defaultSettings.evaluations;
    let sized = settings;
    for (const epochs of isFirst ? FIRST_EPOCHS : [defaultSettings.epochs]) {
      const wanted = { ...settings, epochs, learningRate, evaluations };
      sized = await client.request({ type: "budget", settings: wanted, seconds });
      if (sized.samples >= FIRST_SAMPLES) break;
    }
    const { epochs, samples, evaluationSamples } = sized;
    return { epochs, learningRate, samples, evaluationSamples, evaluations: sized.evaluations };
  }
}
