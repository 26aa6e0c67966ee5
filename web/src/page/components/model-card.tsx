import "./model-card.css";
import type { WeightChoice } from "../../package/index.js";
import type { App } from "../app.js";
import { missingFiles, topLevel } from "../files.js";
import { bytes, count, short } from "../format.js";
import type { State } from "../state.js";
import { Alert } from "./alert.js";
import { FileButton } from "./file-button.js";

/** The types that weights are kept in; trained weights are always float32. */
const WEIGHTS: Record<WeightChoice, string> = {
  auto: "as stored",
  float32: "as float32",
  float16: "as float16",
  bfloat16: "as bfloat16",
  q8_0: "as q8_0 (8.5 bits)",
  q4_0: "as q4_0 (4.5 bits)",
};

/** The model: embedded, or from the user's files. */
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
              {count(value.parameters)} parameters · {value.architecture}, {value.layers} layers × {value.hidden_size} ·{" "}
              {count(value.vocabulary)} tokens · {value.weights}, {bytes(value.bytes)} ·{" "}
              {value.embedded ? "built in" : "your model"}
            </p>
          </>
        ) : (
          <p class="main pending">{busy ? "Loading…" : "None"}</p>
        )}
        {busy && value && <p class="facts">Reading…</p>}
      </div>
      {staged.length > 0 && (
        <p class="staged" data-testid="model-files" role={missing.length > 0 && !error ? "alert" : "status"}>
          <b>{staged.map(({ name }) => name).join(", ")}</b>{" "}
          {missing.length > 0 ? `added; still missing: ${missing.join(", ")}. ` : ""}
          <button type="button" class="link" onClick={() => app.inputs.dropStaged()}>
            Discard
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
          onFiles={(files) => void app.inputs.addModelFiles(topLevel(files))}
        />
        <FileButton
          label="Choose files"
          name="Choose files of a model"
          multiple
          disabled={busy}
          onFiles={(files) => void app.inputs.addModelFiles(files)}
        />
        {value && !value.embedded && (
          <button type="button" class="quiet" onClick={() => void app.inputs.useEmbeddedModel()}>
            Use the built-in model
          </button>
        )}
      </div>
      {value && !value.embedded && (
        <label class="weights">
          Keep weights
          <select
            disabled={busy}
            value={state.model.weights}
            onChange={({ currentTarget }) => void app.inputs.useWeights(currentTarget.value as WeightChoice)}
          >
            {(Object.keys(WEIGHTS) as WeightChoice[]).map((choice) => (
              <option key={choice} value={choice}>
                {WEIGHTS[choice]}
              </option>
            ))}
          </select>
        </label>
      )}
      <p class="help">
        A .gguf file, or a Hugging Face folder with config.json, tokenizer.json and model.safetensors.
        {value?.embedded && ` The built-in model has ${short(value.parameters)} parameters and writes short stories.`}
      </p>
    </section>
  );
}
