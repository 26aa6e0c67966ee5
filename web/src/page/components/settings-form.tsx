import { useId } from "preact/hooks";
import { learningRates } from "../../package/index.js";
import type { AdapterKind, Method } from "../../package/index.js";
import { BUDGET_SECONDS } from "../app.js";
import type { App } from "../app.js";
import { ADAPTERS, field, MAX_PROMPT } from "../fields.js";
import type { NumberKey } from "../fields.js";
import { roughly } from "../format.js";
import { ADAPTER_NAMES } from "../metrics.js";
import type { State } from "../state.js";
import { CopyLink } from "./copy-link.js";
import { NumberInput } from "./number-input.js";

const MAIN: readonly NumberKey[] = ["tau", "samples", "epochs"];
const ADVANCED: readonly NumberKey[] = [
  "learningRate",
  "batchSize",
  "maxLength",
  "evaluationSamples",
  "evaluations",
  "seed",
];
const METHODS: Record<Method, { label: string; help: string }> = {
  mft: { label: "Minifinetuning (MFT)", help: "Learns the domain and keeps what it knew." },
  ft: { label: "Plain finetuning (FT)", help: "Learns the domain and forgets." },
};

/** Every setting of a run. */
export function SettingsForm({ app, state }: { app: App; state: State }) {
  const { settings, invalid } = state;
  const prompt = useId();
  const numbers = (keys: readonly NumberKey[]) =>
    keys.map((key) => (
      <NumberInput
        key={key}
        app={app}
        state={state}
        field={field(key)}
        disabled={key === "tau" && settings.method === "ft"}
      />
    ));
  return (
    <section class="card settings" aria-labelledby="settings-title">
      <div class="head">
        <h2 id="settings-title">Settings</h2>
        <div class="actions">
          <button type="button" class="quiet" onClick={() => app.fitToTime()} disabled={state.pace.busy}>
            Fit to {roughly(BUDGET_SECONDS)}
          </button>
          <CopyLink link={() => app.link()} />
        </div>
      </div>
      <div class="methods">
        <fieldset class="choices">
          <legend>Method</legend>
          {(Object.keys(METHODS) as Method[]).map((method) => (
            <label key={method} class={method}>
              <input
                type="radio"
                name="method"
                checked={settings.method === method}
                onChange={() => app.change({ method })}
              />
              <span>
                {METHODS[method].label}
                <small>{METHODS[method].help}</small>
              </span>
            </label>
          ))}
        </fieldset>
        <label class={settings.method === "mft" ? "switch" : "switch off"}>
          <input
            type="checkbox"
            role="switch"
            checked={settings.compare && settings.method === "mft"}
            disabled={settings.method !== "mft"}
            onChange={({ currentTarget }) => app.change({ compare: currentTarget.checked })}
          />
          <span>
            Compare with plain finetuning
            <small>Trains a second time, so that both can be seen side by side.</small>
          </span>
        </label>
      </div>
      <div class="fields">{numbers(MAIN)}</div>
      <div class="field">
        <label for={prompt}>Prompt</label>
        <textarea
          id={prompt}
          rows={2}
          maxLength={MAX_PROMPT}
          value={settings.prompt}
          aria-describedby={`${prompt}-help`}
          onInput={({ currentTarget }) => app.change({ prompt: currentTarget.value })}
        />
        <p class="help" id={`${prompt}-help`}>
          The model continues it before, during and after, so that you can read what changed.
        </p>
      </div>
      {/* What is wrong in there must be seen. */}
      <details open={ADVANCED.some((key) => invalid[key])}>
        <summary>Advanced</summary>
        <AdapterChoice app={app} state={state} />
        <div class="fields">{numbers(ADVANCED)}</div>
        <button type="button" class="quiet" onClick={() => app.resetSettings()}>
          Back to the defaults
        </button>
      </details>
    </section>
  );
}

/** What is trained. */
function AdapterChoice({ app, state }: { app: App; state: State }) {
  const { adapter, learningRate } = state.settings;
  const id = useId();
  const take = (next: AdapterKind): void => {
    // Somebody's own learning rate is left alone.
    const usual = learningRate === learningRates[adapter];
    app.change({ adapter: next, ...(usual && { learningRate: learningRates[next] }) });
  };
  return (
    <div class="adapter">
      <b id={`${id}-label`}>Trained</b>
      <fieldset class="segments" aria-labelledby={`${id}-label`} aria-describedby={id}>
        {ADAPTERS.map((kind) => (
          <label key={kind}>
            <input type="radio" name="adapter" checked={adapter === kind} onChange={() => take(kind)} />
            <span>{ADAPTER_NAMES[kind]}</span>
          </label>
        ))}
      </fieldset>
      <p class="help" id={id}>
        An adapter trains few values in place of the weights: less memory, a small download, less learnt.
      </p>
    </div>
  );
}
