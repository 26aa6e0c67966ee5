import type { App } from "../app.js";
import { missingFiles, topLevel } from "../files.js";
import { count, short } from "../format.js";
import type { State } from "../state.js";
import { Alert } from "./alert.js";
import { FileButton } from "./file-button.js";

/** The model: the embedded one, or somebody's own folder. */
export function ModelCard({ app, state }: { app: App; state: State }) {
  const { value, busy, error, staged } = state.model;
  const missing = missingFiles(staged);
  return (
    <section class="card" aria-labelledby="model-title" aria-busy={busy} data-drop="model">
      <h2 id="model-title">Model</h2>
      <div class="what" data-testid="model">
        {value ? (
          <>
            <p class="main">{value.name}</p>
            <p class="facts">
              {count(value.parameters)} parameters · {value.architecture}, {value.layers} layers of{" "}
              {value.hidden_size} · {count(value.vocabulary)} tokens ·{" "}
              {value.embedded ? "part of this page" : "your own"}
            </p>
          </>
        ) : (
          <p class="main pending">{busy ? "Loading…" : "None yet"}</p>
        )}
        {busy && value && <p class="facts">Reading…</p>}
      </div>
      {staged.length > 0 && (
        <p class="staged" data-testid="model-files" role={missing.length > 0 && !error ? "alert" : "status"}>
          <b>{staged.map(({ name }) => name).join(", ")}</b>{" "}
          {missing.length > 0 ? `taken; still missing: ${missing.join(", ")}. ` : ""}
          <button type="button" class="link" onClick={() => app.dropStaged()}>
            Let go
          </button>
        </p>
      )}
      {error && <Alert id="model-error">{error}</Alert>}
      <div class="actions">
        <FileButton
          label="Choose folder"
          name="Choose folder of a model"
          folder
          disabled={busy}
          onFiles={(files) => void app.addModelFiles(topLevel(files))}
        />
        <FileButton
          label="Choose files"
          name="Choose files of a model"
          multiple
          disabled={busy}
          onFiles={(files) => void app.addModelFiles(files)}
        />
        {value && !value.embedded && (
          <button type="button" class="quiet" onClick={() => void app.useEmbeddedModel()}>
            Use the built-in model
          </button>
        )}
      </div>
      <p class="help">
        A Hugging Face folder of a small language model: config.json, tokenizer.json, model.safetensors.
        {value?.embedded && ` This one has ${short(value.parameters)} parameters and tells stories.`}
      </p>
    </section>
  );
}
