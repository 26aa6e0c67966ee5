import type { DeviceChoice, TextRole, TextSource, WeightChoice } from "../../package/index.js";
import type { App } from "../app.js";
import { describeWeights, folderName, guessRole, mergeFiles, missingFiles, sortFiles } from "../files.js";
import type { ModelSlot, TextSlot } from "../state.js";
import { errorText, isLoss } from "./words.js";

/** The device, the model and the texts of the next run. */
export class Inputs {
  readonly #app: App;

  constructor(app: App) {
    this.#app = app;
  }

  /** Selects a device. */
  chooseDevice(choice: DeviceChoice): Promise<void> {
    const app = this.#app;
    app.set({ choice });
    app.settings.writeLink();
    return app.track(async () => {
      if (!(await this.#openDevice())) return;
      if (app.state.model.value) await app.preparation.prepare();
      else await this.openAll();
    });
  }

  /** Selects the embedded model. */
  useEmbeddedModel(): Promise<void> {
    this.#setModel({ staged: [], error: null, weights: "auto" });
    return this.#takeModel(null);
  }

  /** Keeps the weights of the model in another type. */
  useWeights(weights: WeightChoice): Promise<void> {
    this.#setModel({ weights });
    return this.#takeModel(this.#app.state.model.files);
  }

  /** Adds files of a model, which may arrive one by one. Prepares a run with it, if no text follows. */
  async addModelFiles(files: File[], textFollows = false): Promise<void> {
    const found = sortFiles(files);
    if (found.model.length === 0) {
      const message = found.otherWeights.length
        ? describeWeights(found.otherWeights[0] ?? "")
        : "No model files found: a .gguf file, or config.json, tokenizer.json and model.safetensors are required.";
      this.#setModel({ error: message });
      return;
    }
    const staged = mergeFiles(this.#app.state.model.staged, found.model);
    const missing = missingFiles(staged);
    const other = missing.includes("model.safetensors") && found.otherWeights[0];
    const error = other ? describeWeights(other) : null;
    this.#setModel({ staged, error });
    if (missing.length === 0) {
      this.#setModel({ weights: "auto" });
      await this.#takeModel(staged, textFollows);
    } else if (!error) await this.#checkStaged(found.model);
  }

  /** Discards the files of an incomplete model. */
  dropStaged(): void {
    this.#setModel({ staged: [], error: null });
  }

  /**
   * Selects a text; null selects the embedded text, or none for the optional sets. Prepares a run with it; after a
   * model, also if the text is invalid.
   */
  useText(role: TextRole, file: TextSource, afterModel = false): Promise<void> {
    const app = this.#app;
    return app.track(async () => {
      if ((role === "held-out" || role === "replay") && !file) {
        this.#setText(role, { value: null, file: null, error: null });
        await app.client.request({ type: "dropText", role }).catch(() => null);
      } else if (!(await this.#loadText(role, file)) && !afterModel) {
        return;
      }
      await app.preparation.prepare();
    });
  }

  /** Adds dropped files; `role` is the role of the row they were dropped on. */
  async take(files: File[], role: TextRole | null): Promise<void> {
    const { model, otherWeights, texts, unknown } = sortFiles(files);
    this.#app.set({ dropNote: null });
    const [first] = texts;
    const hasModel = model.length > 0 || otherWeights.length > 0;
    if (hasModel) await this.addModelFiles(files, Boolean(first));
    if (!first) {
      if (hasModel) return;
      const dropNote = `${unknown[0] ?? "This"} is neither a model file nor a text.`;
      this.#app.set({ dropNote });
    } else if (texts.length === 1) await this.useText(role ?? guessRole(first.name), first, hasModel);
    else {
      // The domain comes first: a new one drops the previous held-out text.
      const roles = texts.map((text) => ({ text, role: guessRole(text.name) }));
      const domain = roles.filter(({ role }) => role === "domain");
      const others = roles.filter(({ role }) => role !== "domain");
      for (const { text, role } of [...domain, ...others]) await this.useText(role, text, hasModel);
    }
  }

  /** Opens the device, loads the model and the texts, and prepares a run. */
  openAll(): Promise<void> {
    const app = this.#app;
    return app.track(async () => {
      if (!app.state.device.value && !(await this.#openDevice())) return;
      const { model, texts } = app.state;
      const loaded = [
        await this.#loadModel(model.files),
        await this.#loadText("domain", texts.domain.file),
        await this.#loadText("general", texts.general.file),
      ];
      for (const role of ["held-out", "replay"] as const) {
        const { file } = texts[role];
        if (file) loaded.push(await this.#loadText(role, file));
      }
      if (loaded.every(Boolean)) await app.preparation.prepare();
    });
  }

  /** Checks the files of an incomplete model and discards invalid ones. */
  async #checkStaged(files: File[]): Promise<void> {
    for (const file of files) {
      try {
        const name = folderName(files) ?? "model";
        await this.#app.client.request({ type: "checkModelFile", file, name });
      } catch (error) {
        if (isLoss(error)) return;
        const staged = this.#app.state.model.staged.filter((other) => other !== file);
        this.#setModel({ staged, error: errorText(error) });
        return;
      }
    }
  }

  #takeModel(files: File[] | null, textFollows = false): Promise<void> {
    return this.#app.track(async () => {
      if ((await this.#loadModel(files)) && !textFollows) await this.#app.preparation.prepare();
    });
  }

  async #openDevice(): Promise<boolean> {
    const app = this.#app;
    app.set({ device: { ...app.state.device, busy: true, error: null } });
    try {
      const value = await app.client.request({ type: "open", device: app.state.choice });
      app.set({
        device: { value, busy: false, error: null },
        pace: { value: null, busy: false, error: null },
        checks: [],
      });
      return true;
    } catch (error) {
      const message = isLoss(error) ? null : errorText(error);
      app.set({ device: { ...app.state.device, busy: false, error: message } });
      return false;
    }
  }

  async #loadModel(files: File[] | null): Promise<boolean> {
    this.#setModel({ busy: true, error: null });
    try {
      const value = await this.#app.client.request({
        type: "loadModel",
        files,
        name: (files && folderName(files)) ?? "model",
        weights: this.#app.state.model.weights,
      });
      this.#setModel({ value, files, staged: [], busy: false });
      return true;
    } catch (error) {
      // The files stay staged, so that the invalid one can be replaced.
      this.#setModel({ busy: false, error: isLoss(error) ? null : errorText(error) });
      return false;
    }
  }

  async #loadText(role: TextRole, file: TextSource): Promise<boolean> {
    this.#setText(role, { busy: true, error: null });
    try {
      const value = await this.#app.client.request({ type: "loadText", role, file });
      this.#setText(role, { value, file, busy: false });
      if (role === "domain") this.#app.settings.suggestPrompt();
      return true;
    } catch (error) {
      this.#setText(role, { busy: false, error: isLoss(error) ? null : errorText(error) });
      return false;
    }
  }

  #setModel(patch: Partial<ModelSlot>): void {
    this.#app.set({ model: { ...this.#app.state.model, ...patch } });
  }

  #setText(role: TextRole, patch: Partial<TextSlot>): void {
    const { texts } = this.#app.state;
    this.#app.set({ texts: { ...texts, [role]: { ...texts[role], ...patch } } });
  }
}
