import type { JobSettings, Method } from "../../package/index.js";
import { allMethods, defaultSettings } from "../../package/index.js";
import type { App } from "../app.js";
import type { NumberKey } from "../fields.js";
import { fromFragment, toFragment } from "../link.js";
import { FIRST_SECONDS, isLive } from "../state.js";
import { SIZED } from "./preparation.js";

/** The settings of the next run, and the link that holds them. */
export class Settings {
  readonly #app: App;

  constructor(app: App) {
    this.#app = app;
  }

  /** Changes settings. */
  change(patch: Partial<JobSettings>): void {
    const { settings, sizedByTime, ownPrompt } = this.#app.state;
    const sized = SIZED.some((key) => patch[key] !== undefined);
    this.#app.set({
      settings: { ...settings, ...patch },
      sizedByTime: sizedByTime && !sized,
      ownPrompt: ownPrompt || patch.prompt !== undefined,
      startError: null,
    });
    this.writeLink();
    this.#app.preparation.planSoon();
  }

  /** Adds a method to the comparison, or removes it. */
  compare(method: Method, isCompared: boolean): void {
    const others = this.#app.state.settings.compare.filter((other) => other !== method);
    const compare = isCompared ? [...others, method] : others;
    this.change({ compare: allMethods.filter((method) => compare.includes(method)) });
  }

  /** Sets the message of an invalid field; null if it is valid. */
  setInvalid(key: NumberKey, message: string | null): void {
    const { [key]: _, ...invalid } = this.#app.state.invalid;
    this.#app.set({ invalid: message === null ? invalid : { ...invalid, [key]: message } });
  }

  /** Restores the default settings. */
  reset(): void {
    this.#app.set({
      settings: defaultSettings,
      invalid: {},
      sizedByTime: true,
      seconds: FIRST_SECONDS,
      ownPrompt: false,
    });
    this.suggestPrompt();
    this.writeLink();
    void this.#app.preparation.prepare();
  }

  /** Sizes the run by time. */
  fitToTime(seconds: number): void {
    this.#app.set({ sizedByTime: true, seconds });
    this.writeLink();
    void this.#app.preparation.prepare();
  }

  /** Takes a prompt of the kind of the domain text, unless the user wrote one. */
  suggestPrompt(): void {
    const { ownPrompt, texts, settings } = this.#app.state;
    const prompt = texts.domain.value?.info.prompt;
    if (!ownPrompt && prompt !== undefined) this.#app.set({ settings: { ...settings, prompt } });
  }

  /** Reads the settings from the address. */
  readLink(): void {
    if (location.hash === this.#fragment()) return;
    const app = this.#app;
    const { settings, device, notes } = fromFragment(location.hash);
    const sized = SIZED.some((key) => settings[key] !== undefined);
    const choice = device ?? "auto";
    const changed = choice !== app.state.choice;
    app.set({
      settings: { ...defaultSettings, ...settings },
      choice,
      linkNotes: notes,
      sizedByTime: !sized,
      ownPrompt: settings.prompt !== undefined,
      invalid: {},
    });
    this.suggestPrompt();
    if (!app.state.device.value || isLive(app.state.job)) return;
    void (changed ? app.inputs.chooseDevice(choice) : app.preparation.prepare());
  }

  /** Writes the settings to the address. */
  writeLink(): void {
    const address = location.pathname + location.search + this.#fragment();
    history.replaceState(null, "", address);
  }

  /** Returns a link to these settings. */
  link(settings?: JobSettings): string {
    const fragment = settings ? toFragment(settings, this.#app.state.choice) : this.#fragment();
    return location.href.replace(/#.*$/, "") + fragment;
  }

  dismissLinkNotes(): void {
    this.#app.set({ linkNotes: [] });
  }

  /** Returns the fragment of the user's choices, without values that the page sized for this device. */
  #fragment(): string {
    const { settings, sizedByTime, ownPrompt, choice } = this.#app.state;
    const { epochs, learningRate, samples, evaluationSamples, evaluations, prompt, ...chosen } = settings;
    return toFragment(
      {
        ...chosen,
        ...(!sizedByTime && { epochs, learningRate, samples, evaluationSamples, evaluations }),
        ...(ownPrompt && { prompt }),
      },
      choice,
    );
  }
}
