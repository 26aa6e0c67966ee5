import "./notices.css";
import type { App } from "../app.js";
import { count, percent } from "../format.js";
import { checkpointStep, progress } from "../metrics.js";
import type { State } from "../state.js";
import { isElsewhere, isLive } from "../state.js";
import { Alert } from "./alert.js";
import { Delete } from "./jobs-list.js";

/** Notices above the page. */
export function Notices({ app, state }: { app: App; state: State }) {
  const { linkNotes, lost, dead, view, job, jobs } = state;
  const interrupted = jobs.value?.find((stored) => stored.state === "interrupted");
  const elsewhere = jobs.value?.find((stored) => isElsewhere(stored, state));
  const offered = view === "setup" && !isLive(job) ? interrupted : undefined;
  return (
    <>
      {linkNotes.length > 0 && view === "setup" && (
        <div class="notice" role="status" data-testid="link-notes">
          <p>Some parameters of the link were ignored:</p>
          <ul>
            {linkNotes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
          <button type="button" class="quiet" onClick={() => app.settings.dismissLinkNotes()}>
            Dismiss
          </button>
        </div>
      )}
      {lost && (
        <Alert id="lost">
          <p>
            <b>The training worker was lost.</b> {lost}{" "}
            {dead ? "This happened repeatedly: reload the page." : "It was restarted; stored runs are kept."}
          </p>
          {dead && (
            <button type="button" class="quiet" onClick={() => location.reload()}>
              Reload the page
            </button>
          )}
        </Alert>
      )}
      {elsewhere && view === "setup" && (
        <div class="notice" role="status" data-testid="elsewhere">
          <p>
            <b>
              Another tab is {elsewhere.state === "paused" ? "paused in" : "running"} a run, at{" "}
              {percent(progress(elsewhere).share)}:
            </b>{" "}
            {elsewhere.model.name} on {elsewhere.texts.domain}. A run that is started here shares the device with it.
          </p>
        </div>
      )}
      {offered && (
        <div class="notice offer" role="region" aria-label="Interrupted run" data-testid="interrupted">
          <p>
            <b>
              {checkpointStep(offered) > 0
                ? `A run was interrupted; its checkpoint is at step ${count(checkpointStep(offered))} of ${count(progress(offered).total)}.`
                : "A run was interrupted before its first checkpoint."}
            </b>{" "}
            {offered.model.name} on {offered.texts.domain}.
          </p>
          <div class="actions">
            <button
              type="button"
              class="primary small"
              disabled={state.starting || !state.device.value}
              onClick={() => void app.runs.resumeStored(offered.id)}
            >
              {state.starting ? "Resuming…" : "Resume"}
            </button>
            <Delete onDelete={() => void app.jobs.delete(offered.id)} />
          </div>
        </div>
      )}
    </>
  );
}
