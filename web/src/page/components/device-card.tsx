import type { DeviceChoice } from "../../package/index.js";
import type { App } from "../app.js";
import { bytes } from "../format.js";
import type { State } from "../state.js";
import { Alert } from "./alert.js";
import { NoGpu } from "./no-gpu.js";

const LABELS: Record<DeviceChoice, string> = { auto: "Automatic", gpu: "GPU", cpu: "CPU" };

/** The device, and advice if WebGPU is unavailable. */
export function DeviceCard({ app, state }: { app: App; state: State }) {
  const { value, busy, error } = state.device;
  return (
    <section class="card" aria-labelledby="device-title" aria-busy={busy}>
      <h2 id="device-title">Device</h2>
      <div class="what" data-testid="device">
        <p class={value ? "main" : "main pending"}>
          {busy && !value ? "Looking for a GPU…" : value ? value.name : "None"}
        </p>
        {value && (
          <p class="facts">
            {value.kind === "gpu" ? "GPU" : "CPU"}
            {value.software && " (software)"}
            {value.limits && ` · buffers up to ${bytes(value.limits.max_buffer_bytes)}`} · {value.reason}
          </p>
        )}
      </div>
      {error && <Alert id="device-error">{error}</Alert>}
      <fieldset class="segments">
        <legend class="visually-hidden">Device</legend>
        {(Object.keys(LABELS) as DeviceChoice[]).map((choice) => (
          <label key={choice}>
            <input
              type="radio"
              name="device"
              checked={state.choice === choice}
              disabled={busy}
              onChange={() => void app.inputs.chooseDevice(choice)}
            />
            <span>{LABELS[choice]}</span>
          </label>
        ))}
      </fieldset>
      {((value?.kind === "cpu" && state.choice === "auto") || (error && state.choice !== "cpu")) && (
        <NoGpu onCpu={error ? () => void app.inputs.chooseDevice("cpu") : null} />
      )}
    </section>
  );
}
