import type { App } from "../app.js";
import { errorText } from "./words.js";

/** The check that the device computes correct results. */
export class DeviceCheck {
  readonly #app: App;

  constructor(app: App) {
    this.#app = app;
  }

  async run(): Promise<void> {
    this.#app.set({ checks: [], checking: true, checkError: null });
    try {
      const checks = await this.#app.client.request({ type: "examine", vectors: null });
      this.#app.set({ checks });
    } catch (error) {
      this.#app.set({ checkError: errorText(error) });
    } finally {
      this.#app.set({ checking: false });
    }
  }
}
