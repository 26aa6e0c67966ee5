import type { GgufType, Job } from "../../package/index.js";
import { methodTitles } from "../../package/index.js";
import type { App } from "../app.js";
import type { State } from "../state.js";

const KINDS: readonly GgufType[] = ["f16", "q8_0"];

/** Downloads of the finished models in GGUF, for llama.cpp and Ollama. */
export function GgufDownloads({ app, state, job }: { app: App; state: State; job: Job }) {
  const { packing, ggufNotes } = state;
  const methods = job.trainings.filter(({ finished }) => finished).map(({ method }) => method);
  if (methods.length === 0) return null;
  return (
    <div class="gguf">
      <div class="actions">
        {methods.flatMap((method) =>
          KINDS.map((kind) => (
            <button
              key={`${method}-${kind}`}
              type="button"
              class={`quiet method ${method}`}
              disabled={packing !== null}
              onClick={() => void app.downloads.gguf(job, method, kind)}
            >
              <span class="swatch" aria-hidden="true" />{" "}
              {packing === `${method}-${kind}` ? "Packing…" : `Download ${methodTitles[method]} GGUF ${kind}`}
            </button>
          )),
        )}
      </div>
      <p class="help">
        GGUF runs in llama.cpp and the programs built on it; for Ollama, a Modelfile is beside it.
        {job.settings.adapter !== "none" && " The adapter is merged into the model."}
      </p>
      {ggufNotes.map((note) => (
        <p key={note} class="facts" role="status">
          {note}
        </p>
      ))}
    </div>
  );
}
