import "./jobs-list.css";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Job, JobState } from "../../package/index.js";
import { methodsOf, methodTitles } from "../../package/index.js";
import type { App } from "../app.js";
import { bytes, count, date, percent } from "../format.js";
import { checkpointStep, progress } from "../metrics.js";
import type { State } from "../state.js";
import { isElsewhere, isLive } from "../state.js";
import { Alert } from "./alert.js";

const LABELS: Record<JobState, string> = {
  running: "running in another tab",
  paused: "paused in another tab",
  interrupted: "interrupted",
  stopped: "stopped",
  finished: "finished",
  failed: "failed",
};

/** Milliseconds between looks at a run of another tab. */
const REFRESH_INTERVAL = 3000;

/** The stored jobs. */
export function JobsList({ app, state }: { app: App; state: State }) {
  const { value, error } = state.jobs;
  const watches = value?.some((job) => isElsewhere(job, state)) ?? false;
  useEffect(() => {
    if (!watches) return;
    const timer = setInterval(() => void app.jobs.refresh(), REFRESH_INTERVAL);
    return () => clearInterval(timer);
  }, [app, watches]);
  if (!error && !value?.length) return null;
  return (
    <section class="jobs" aria-labelledby="jobs-title" data-testid="jobs">
      <h2 id="jobs-title">Runs in this browser</h2>
      {error && <Alert id="jobs-error">{error}</Alert>}
      <ul>
        {value?.map((job) => (
          <JobRow key={job.id} app={app} state={state} job={job} />
        ))}
      </ul>
    </section>
  );
}

function JobRow({ app, state, job }: { app: App; state: State; job: Job }) {
  const current = state.job?.id === job.id;
  const here = current && isLive(state.job);
  const elsewhere = isElsewhere(job, state);
  const { share, total } = progress(job);
  const checkpoint = checkpointStep(job);
  const titles = methodsOf(job.settings).map((method) => methodTitles[method]);
  const methods = titles.length > 3 ? `${titles[0]} and ${titles.length - 1} other methods` : titles.join(", ");
  const busy = state.starting || isLive(state.job);
  return (
    <li data-testid="job" data-state={job.state}>
      <div>
        <p class="main">
          {job.model.name} <span class="facts">on {job.texts.domain}</span>
        </p>
        <p class="facts">
          {here ? "running here" : LABELS[job.state]}
          {job.state !== "finished" && !here && total > 0 && ` at ${percent(share)}`}
          {job.state !== "finished" && checkpoint > 0 && `, checkpoint at step ${count(checkpoint)} of ${count(total)}`}{" "}
          · {methods} · {date(job.created)} · {bytes(job.bytes)}
        </p>
      </div>
      <div class="actions">
        {!here && !elsewhere && job.state !== "finished" && (
          <button type="button" class="quiet" disabled={busy} onClick={() => void app.runs.resumeStored(job.id)}>
            Resume
          </button>
        )}
        {!here && job.trainings.length > 0 && (
          <button type="button" class="quiet" disabled={isLive(state.job)} onClick={() => app.jobs.open(job)}>
            {job.state === "finished" ? "Results" : "View"}
          </button>
        )}
        {!here && !elsewhere && <Delete onDelete={() => void app.jobs.delete(job.id)} />}
      </div>
    </li>
  );
}

/** A delete button with confirmation; Escape cancels. */
export function Delete({ onDelete }: { onDelete(): void }) {
  const [confirming, setConfirming] = useState(false);
  const cancel = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (confirming) cancel.current?.focus();
  }, [confirming]);
  if (!confirming) {
    return (
      <button type="button" class="quiet" onClick={() => setConfirming(true)}>
        Delete
      </button>
    );
  }
  return (
    <span
      class="confirm"
      role="group"
      aria-label="Delete this run?"
      onKeyDown={({ key }) => key === "Escape" && setConfirming(false)}
    >
      Delete permanently?
      <button type="button" class="danger" onClick={onDelete}>
        Yes, delete
      </button>
      <button ref={cancel} type="button" class="quiet" onClick={() => setConfirming(false)}>
        Cancel
      </button>
    </span>
  );
}
