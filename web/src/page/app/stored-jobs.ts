import type { Job } from "../../package/index.js";
import type { App } from "../app.js";
import { isLive, nothingChosen } from "../state.js";
import { errorText, isLoss } from "./words.js";

/** The jobs in the browser's storage. */
export class StoredJobs {
  readonly #app: App;

  constructor(app: App) {
    this.#app = app;
  }

  /** Shows a stored job. */
  open(job: Job): void {
    this.#app.set({ job, view: "job", startError: null, ...nothingChosen });
  }

  async delete(id: string): Promise<void> {
    const app = this.#app;
    try {
      await app.client.request({ type: "deleteJob", id });
      if (app.state.job?.id === id) app.set({ job: null, view: "setup" });
    } catch (error) {
      if (isLoss(error)) return;
      app.set({ jobs: { ...app.state.jobs, error: errorText(error) } });
      return;
    }
    await this.refresh();
  }

  /** Refreshes the list. */
  async refresh(): Promise<void> {
    const app = this.#app;
    try {
      const value = await app.client.request({ type: "jobs" });
      app.set({ jobs: { value, busy: false, error: null } });
      const { job } = app.state;
      const stored = value.find(({ id }) => id === job?.id);
      // The record of an interrupted job is more accurate than the page's copy.
      const interrupted = isLive(job) || job?.state === "interrupted";
      if (stored && interrupted && !isLive(stored)) app.set({ job: stored });
    } catch (error) {
      if (!isLoss(error)) app.set({ jobs: { ...app.state.jobs, error: errorText(error) } });
    }
  }
}
