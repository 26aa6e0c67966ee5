import "./settings-form.css";
import { useId } from "preact/hooks";
import type { AdapterKind, Method } from "../../package/index.js";
import { adapterNames, learningRates } from "../../package/index.js";
import { BUDGET_SECONDS } from "../app/preparation.js";
import type { App } from "../app.js";
import type { NumberKey } from "../fields.js";
import { ADAPTERS, field, MAX_PROMPT } from "../fields.js";
import { roughly } from "../format.js";
import { hasEffect, METHODS, OTHER_METHODS } from "../methods.js";
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
/** The settings of a run. */
export function SettingsForm({ app, state }: { app: App; state: State }) {
  const { settings, invalid } = state;
  const prompt = useId();
  const numbers = (keys: readonly NumberKey[]) =>
    keys.map((key) => (
      <NumberInput key={key} app={app} state={state} field={field(key)} disabled={!hasEffect(key, settings)} />
    ));
  return (
    <section class="card settings" aria-labelledby="settings-title">
      <div class="head">
        <h2 id="settings-title">Settings</h2>
        <div class="actions">
          <button
            type="button"
            class="quiet"
            onClick={() => app.settings.fitToTime(BUDGET_SECONDS)}
            disabled={state.pace.busy}
          >
            Fit to {roughly(BUDGET_SECONDS)}
          </button>
          <CopyLink link={() => app.settings.link()} />
        </div>
      </div>
      <div class="methods">
        <fieldset class="choices">
          <legend>Method</legend>
          {mainMethods(settings.method).map((method) => (
            <label key={method} class={`method ${method}`}>
              <input
                type="radio"
                name="method"
                checked={settings.method === method}
                onChange={() => app.settings.change({ method })}
              />
              <span>
                {METHODS[method].label}
                <small>{METHODS[method].help}</small>
              </span>
            </label>
          ))}
        </fieldset>
        <label class={settings.method === "ft" ? "switch off" : "switch"}>
          <input
            type="checkbox"
            role="switch"
            checked={settings.compare.includes("ft") && settings.method !== "ft"}
            disabled={settings.method === "ft"}
            onChange={({ currentTarget }) => app.settings.compare("ft", currentTarget.checked)}
          />
          <span>
            Compare with plain finetuning
            <small>Trains a second time, for a side-by-side comparison.</small>
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
          onInput={({ currentTarget }) => app.settings.change({ prompt: currentTarget.value })}
        />
        <p class="help" id={`${prompt}-help`}>
          The model continues it before, during and after training.
        </p>
      </div>
      {/* Opens if a field inside is invalid. */}
      <details open={Object.keys(invalid).some((key) => !MAIN.includes(key as NumberKey))}>
        <summary>Advanced</summary>
        <AdapterChoice app={app} state={state} />
        <OtherMethods app={app} state={state} />
        <div class="fields">{numbers(ADVANCED)}</div>
        <label class="switch">
          <input
            type="checkbox"
            role="switch"
            checked={settings.gradientCheckpointing}
            onChange={({ currentTarget }) => app.settings.change({ gradientCheckpointing: currentTarget.checked })}
          />
          <span>
            Gradient checkpointing
            <small>Recomputes activations in the backward pass: less memory, more time.</small>
          </span>
        </label>
        <button type="button" class="quiet" onClick={() => app.settings.reset()}>
          Reset to defaults
        </button>
      </details>
    </section>
  );
}

/** Returns the methods to choose from: the two of the paper, and another one that a link chose. */
function mainMethods(chosen: Method): Method[] {
  return [...new Set<Method>(["mft", "ft", chosen])];
}

/** Further methods to compare with, and their strengths. */
function OtherMethods({ app, state }: { app: App; state: State }) {
  const { method, compare } = state.settings;
  const isTrained = (other: Method): boolean => other === method || compare.includes(other);
  const strengths = OTHER_METHODS.filter(isTrained).flatMap((other) => METHODS[other].strength ?? []);
  return (
    <>
      <fieldset class="choices">
        <legend>Compare with other methods</legend>
        {OTHER_METHODS.map((other) => (
          <label key={other} class={`method ${other}`}>
            <input
              type="checkbox"
              checked={isTrained(other)}
              disabled={other === method}
              onChange={({ currentTarget }) => app.settings.compare(other, currentTarget.checked)}
            />
            <span>
              {METHODS[other].label}
              <small>{METHODS[other].help}</small>
            </span>
          </label>
        ))}
      </fieldset>
      <div class="fields">
        {strengths.map((key) => (
          <NumberInput key={key} app={app} state={state} field={field(key)} />
        ))}
      </div>
    </>
  );
}

/** The choice of the adapter. */
function AdapterChoice({ app, state }: { app: App; state: State }) {
  const { adapter, learningRate } = state.settings;
  const id = useId();
  const select = (next: AdapterKind): void => {
    if (state.sizedByTime) {
      app.settings.change({ adapter: next });
      // Sizes the run again, with the adapter's learning rate.
      void app.preparation.prepare();
      return;
    }
    // A learning rate set by the user is kept.
    const isDefault = learningRate === learningRates[adapter];
    app.settings.change({ adapter: next, ...(isDefault && { learningRate: learningRates[next] }) });
  };
  return (
    <div class="adapter">
      <b id={`${id}-label`}>Trained</b>
      <fieldset class="segments" aria-labelledby={`${id}-label`} aria-describedby={id}>
        {ADAPTERS.map((kind) => (
          <label key={kind}>
            <input type="radio" name="adapter" checked={adapter === kind} onChange={() => select(kind)} />
            <span>{adapterNames[kind]}</span>
          </label>
        ))}
      </fieldset>
      <p class="help" id={id}>
        An adapter trains fewer parameters: less memory, a smaller download, less capacity.
      </p>
    </div>
  );
}
