import "./downloads.css";
import type { Job } from "../../package/index.js";
import { methodTitles } from "../../package/index.js";
import type { App } from "../app.js";
import type { State } from "../state.js";
import { Alert } from "./alert.js";
import { CopyLink } from "./copy-link.js";
import { GgufDownloads } from "./gguf-downloads.js";

interface Props {
  app: App;
  state: State;
  job: Job;
}

/** Returns the words for a strength; none as trained. */
function atStrength(weight = 1): string {
  return weight === 1 ? "" : ` at strength ${weight}`;
}

/** Downloads of a job. */
export function Downloads({ app, state, job }: Props) {
  const { packing, downloadError, dials } = state;
  const adapter = job.settings.adapter !== "none";
  return (
    <section class="downloads" aria-labelledby="downloads-title">
      <h2 id="downloads-title" class="visually-hidden">
        Downloads
      </h2>
      <div class="actions">
        {job.trainings
          .filter(({ finished }) => finished)
          .map(({ method }) => (
            <button
              key={method}
              type="button"
              class={`quiet method ${method}`}
              disabled={packing !== null}
              onClick={() => void app.downloads.model(job, method)}
            >
              <span class="swatch" aria-hidden="true" />{" "}
              {packing === method
                ? "Packing…"
                : `Download ${methodTitles[method]} ${adapter ? "adapter" : "model"}${atStrength(dials[method]?.weight)}`}
            </button>
          ))}
        {job.state === "finished" && (
          <button
            type="button"
            class="quiet"
            disabled={packing !== null}
            onClick={() => void app.downloads.report(job)}
          >
            Download run.json
          </button>
        )}
        <button type="button" class="quiet" disabled={packing !== null} onClick={() => void app.downloads.html(job)}>
          Download report
        </button>
        <button type="button" class="quiet" onClick={() => app.downloads.csv(job)}>
          Download CSV
        </button>
        <CopyLink link={() => app.settings.link(job.settings)} />
      </div>
      <GgufDownloads app={app} state={state} job={job} />
      <p class="help">
        {adapter ? "Each adapter is a folder in PEFT format." : "Each model is a Hugging Face folder for transformers."}
      </p>
      {downloadError && <Alert id="download-error">{downloadError}</Alert>}
    </section>
  );
}
