import { useEffect, useRef, useState } from "preact/hooks";
import type { Job, JobState } from "../../package/index.js";
import type { App } from "../app.js";
import { bytes, count, date, percent } from "../format.js";
import { checkpointStep, METHOD_NAMES, methodsOf, progress } from "../metrics.js";
import { isLive } from "../state.js";
import type { State } from "../state.js";
import { Alert } from "./alert.js";

const WORDS: Record<JobState, string> = {
  running: "running elsewhere",
  paused: "paused elsewhere",
  interrupted: "interrupted",
  stopped: "stopped",
  finished: "finished",
  failed: "failed",
};

/** The jobs in the browser's storage. */
export function JobsList({ app, state }: { app: App; state: State }) {
  const { value, error } = state.jobs;
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
  const elsewhere = isLive(job) && !here;
  const { share, total } = progress(job);
  const kept = checkpointStep(job);
  const methods = methodsOf(job).map((method) => METHOD_NAMES[method]).join(" and ");
  const busy = state.starting || isLive(state.job);
  return (
    <li data-testid="job" data-state={job.state}>
      <div>
        <p class="main">
          {job.model.name} <span class="facts">on {job.texts.domain}</span>
        </p>
        <p class="facts">
          {here ? "running here" : WORDS[job.state]}
          {job.state !== "finished" && !here && total > 0 && ` at ${percent(share)}`}
          {job.state !== "finished" && kept > 0 && `, checkpoint at step ${count(kept)} of ${count(total)}`} ·{" "}
          {methods} · {date(job.created)} · {bytes(job.bytes)}
        </p>
      </div>
      <div class="actions">
        {!here && !elsewhere && job.state !== "finished" && (
          <button type="button" class="quiet" disabled={busy} onClick={() => void app.resumeJob(job.id)}>
            Resume
          </button>
        )}
        {!here && job.trainings.length > 0 && (
          <button type="button" class="quiet" disabled={isLive(state.job)} onClick={() => app.openJob(job)}>
            {job.state === "finished" ? "Results" : "Look"}
          </button>
        )}
        {!here && !elsewhere && <Delete onDelete={() => void app.deleteJob(job.id)} />}
      </div>
    </li>
  );
}

/** Deletes at the second press; Escape or Keep goes back. */
export function Delete({ onDelete }: { onDelete(): void }) {
  const [asking, setAsking] = useState(false);
  const keep = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (asking) keep.current?.focus();
  }, [asking]);
  if (!asking) {
    return (
      <button type="button" class="quiet" onClick={() => setAsking(true)}>
        Delete
      </button>
    );
  }
  return (
    <span
      class="confirm"
      role="group"
      aria-label="Delete this run?"
      onKeyDown={({ key }) => key === "Escape" && setAsking(false)}
    >
      Delete for good?
      <button type="button" class="danger" onClick={onDelete}>
        Yes, delete
      </button>
      <button ref={keep} type="button" class="quiet" onClick={() => setAsking(false)}>
        Keep
      </button>
    </span>
  );
}
