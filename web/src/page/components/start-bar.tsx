import "./start-bar.css";
import type { Plan } from "../../package/index.js";
import { methodsOf } from "../../package/index.js";
import type { App } from "../app.js";
import { bytes, count, counted, roughly, sentence } from "../format.js";
import type { State } from "../state.js";
import { Advice } from "./advice.js";
import { Alert } from "./alert.js";

/** The start button, the plan of the run, and its problems. */
export function StartBar({ app, state }: { app: App; state: State }) {
  const { plan, pace, starting, startError, invalid } = state;
  const stopping = plan.value?.problems.filter(({ stops }) => stops) ?? [];
  const hints = plan.value?.problems.filter(({ stops }) => !stops) ?? [];
  const hasInvalid = Object.keys(invalid).length > 0;
  const blocked = hasInvalid || stopping.length > 0 || plan.error !== null || state.dead;
  return (
    <section class="start" aria-label="Start">
      <div class="start-row">
        <button
          type="button"
          class="primary"
          disabled={blocked || starting}
          aria-describedby="plan"
          onClick={() => void app.runs.start()}
        >
          {starting ? "Starting…" : "Start"}
        </button>
        <p id="plan" class="plan" data-testid="plan" aria-busy={pace.busy || plan.busy}>
          {hasInvalid ? "A setting is invalid: see below." : <PlanText state={state} />}
        </p>
      </div>
      {startError && <Alert id="start-error">{startError}</Alert>}
      {plan.error && <Alert id="plan-error">{plan.error}</Alert>}
      {pace.error && !plan.error && <Alert id="pace-error">{pace.error}</Alert>}
      {stopping.map(({ message }) => (
        <Alert key={message} id="problem">
          {sentence(message)}
        </Alert>
      ))}
      {plan.value?.advice && <Advice app={app} advice={plan.value.advice} />}
      {hints.map(({ message }) => (
        <p key={message} class="hint" data-testid="hint">
          {sentence(message)}
        </p>
      ))}
      {plan.value && <Memory plan={plan.value} state={state} />}
    </section>
  );
}

function PlanText({ state }: { state: State }) {
  const { device, model, texts, plan, pace, settings, starting } = state;
  if (!device.value) return <>{device.busy ? "Looking for a GPU…" : "No device."}</>;
  if (!model.value || !texts.domain.value) return <>Loading model and texts…</>;
  if (!plan.value) return <>{plan.error ? "The run cannot start." : "Checking the settings…"}</>;
  const trainings = methodsOf(settings).length;
  const { seconds, steps } = plan.value;
  const run = `${counted(settings.samples, "sample")} × ${counted(settings.epochs, "epoch")}${trainings > 1 ? `, ${trainings === 2 ? "both" : trainings} methods` : ""}`;
  if (pace.busy) {
    return (
      <>
        Measuring a step on this device ({device.value.name})…
        {starting ? " The run starts right after." : " You can already press Start."}
      </>
    );
  }
  if (seconds === null) return <>{run}.</>;
  return (
    <>
      Measured on this device ({device.value.name}): <b>{run}</b>, about <b>{roughly(seconds)}</b>.
      <span class="facts">
        {" "}
        {trainings > 1 ? `${trainings} × ` : ""}
        {counted(steps, "step")}
      </span>
    </>
  );
}

/** Memory per component, and the largest tensor against the adapter's limit. */
function Memory({ plan, state }: { plan: Plan; state: State }) {
  const { memory } = plan;
  const limits = state.device.value?.limits ?? null;
  return (
    <details class="memory" data-testid="memory">
      <summary>
        <span>Memory: {bytes(memory.total)}</span>
        <span class="bar" aria-hidden="true">
          {memory.parts.map(({ name, bytes }, index) => (
            <i key={name} class={`part${index % 6}`} style={{ flexGrow: String(bytes) }} />
          ))}
        </span>
      </summary>
      <table>
        <caption class="visually-hidden">Memory per component</caption>
        <tbody>
          {memory.parts.map(({ name, bytes: size }, index) => (
            <tr key={name}>
              <th scope="row">
                <i class={`key part${index % 6}`} aria-hidden="true" /> {name}
              </th>
              <td>{bytes(size)}</td>
            </tr>
          ))}
          <tr class="total">
            <th scope="row">Total</th>
            <td>{bytes(memory.total)}</td>
          </tr>
          <tr>
            <th scope="row">
              Largest tensor
              {limits && ` (limit ${bytes(Math.min(limits.max_buffer_bytes, limits.max_binding_bytes))})`}
            </th>
            <td>{bytes(memory.largest_tensor)}</td>
          </tr>
        </tbody>
      </table>
      <p class="help">Steps per training: {count(plan.steps)}. Browsers do not report free GPU memory.</p>
    </details>
  );
}
