import type { GgufType, Job, Method } from "../../package/index.js";
import type { App } from "../app.js";
import { toCsv } from "../csv.js";
import { save, zip } from "../download.js";
import { htmlReport } from "../html-report.js";
import type { State } from "../state.js";
import { errorText } from "./words.js";

/** Downloads of a job. */
export class Downloads {
  readonly #app: App;

  constructor(app: App) {
    this.#app = app;
  }

  /** Downloads a finished model, at its chosen strength, as a zip archive. */
  async model(job: Job, method: Method): Promise<void> {
    await this.#pack(method, async () => {
      const weight = this.#app.state.dials[method]?.weight ?? 1;
      const files = await this.#app.client.request({ type: "files", id: job.id, method, weight });
      const { adapter } = job.settings;
      const kind = adapter === "none" ? "" : `-${adapter}`;
      const strength = weight === 1 ? "" : `-at-${weight}`;
      const folder = `${job.model.name}-${method}${kind}${strength}`;
      save(await zip(folder, files), `${folder}.zip`);
    });
  }

  /** Downloads a finished model in GGUF, at its chosen strength, as a zip archive with a Modelfile. */
  async gguf(job: Job, method: Method, kind: GgufType): Promise<void> {
    this.#app.set({ ggufNotes: [] });
    await this.#pack(`${method}-${kind}`, async () => {
      const weight = this.#app.state.dials[method]?.weight ?? 1;
      const { files, notes } = await this.#app.client.request({ type: "gguf", id: job.id, method, kind, weight });
      this.#app.set({ ggufNotes: notes });
      const folder = (files[0]?.name ?? "model").replace(/\.gguf$/, "");
      save(await zip(folder, files), `${folder}.zip`);
    });
  }

  /** Downloads a job's run.json. */
  async report(job: Job): Promise<void> {
    await this.#pack("report", async () => {
      const report = await this.#app.client.request({ type: "report", id: job.id });
      save(new Blob([report], { type: "application/json" }), "run.json");
    });
  }

  /** Downloads the shown results as an HTML file. */
  async html(job: Job): Promise<void> {
    await this.#pack("html", async () => {
      const html = await htmlReport(`minift: ${job.model.name} on ${job.texts.domain}`);
      save(new Blob([html], { type: "text/html" }), `${job.model.name}-run.html`);
    });
  }

  /** Downloads the data of a job's charts. */
  csv(job: Job): void {
    save(new Blob([toCsv(job)], { type: "text/csv" }), `${job.model.name}-run.csv`);
  }

  async #pack(what: State["packing"], make: () => Promise<void>): Promise<void> {
    this.#app.set({ packing: what, downloadError: null });
    try {
      await make();
    } catch (error) {
      this.#app.set({ downloadError: errorText(error) });
    } finally {
      this.#app.set({ packing: null });
    }
  }
}
