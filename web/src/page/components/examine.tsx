import "./examine.css";
import type { App } from "../app.js";
import type { State } from "../state.js";
import { isLive } from "../state.js";
import { Alert } from "./alert.js";

/** Verifies that the device computes correct results. */
export function Examine({ app, state }: { app: App; state: State }) {
  const { checks, checking, checkError } = state;
  const failed = checks.filter(({ ok }) => !ok).length;
  const outcome = failed ? `${failed} of ${checks.length} checks failed.` : `All ${checks.length} checks passed.`;
  return (
    <details class="examine">
      <summary>Verify this device</summary>
      <p class="help">Compares every GPU kernel with the CPU kernel. Recommended on an untested GPU.</p>
      <button
        type="button"
        class="quiet"
        disabled={checking || isLive(state.job) || !state.device.value}
        onClick={() => void app.deviceCheck.run()}
      >
        {checking ? "Checking…" : "Run checks"}
      </button>
      {checkError && <Alert id="check-error">{checkError}</Alert>}
      {checks.length > 0 && (
        <div data-testid="checks">
          <p role="status">{checking ? `${checks.length} so far…` : outcome}</p>
          <ul>
            {checks.map(({ check, ok, max_error: error, tolerance }) => (
              <li key={check} class={ok ? "ok" : "failed"}>
                <b>{ok ? "ok" : "failed"}</b> {check}{" "}
                <span class="facts">
                  error {error.toExponential(1)}, tolerance {tolerance.toExponential(1)}
                </span>
              </li>
            ))}
          </ul>
        </div>
      )}
    </details>
  );
}
