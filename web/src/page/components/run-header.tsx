import "./run-header.css";
import type { Job, JobState } from "../../package/index.js";
import { adapterNames, methodsOf, methodTitles } from "../../package/index.js";
import type { App } from "../app.js";
import { count, counted, date, decimal, duration, percent, sentence } from "../format.js";
import { checkpointStep, progress, trainingOf, verdict } from "../metrics.js";
import type { State } from "../state.js";
import { isLive } from "../state.js";
import { Alert } from "./alert.js";

const LABELS: Record<JobState, string> = {
  running: "Training",
  paused: "Paused",
  interrupted: "Interrupted",
  stopped: "Stopped",
  finished: "Finished",
  failed: "Failed",
};

/** Factor of the epochs of a run that is continued. */
const LONGER = 4;

interface Props {
  app: App;
  state: State;
  job: Job;
}

/** The state, progress and actions of a job. */
export function RunHeader({ app, state, job }: Props) {
  const live = isLive(job);
  return (
    <section class="run" data-report aria-label="Run" data-testid="run" data-state={job.state}>
      <p class="kicker">
        <span data-testid="state">{LABELS[job.state]}</span> · {job.model.name}
        {job.settings.adapter !== "none" && ` with ${adapterNames[job.settings.adapter]}`} on {job.texts.domain}
      </p>
      {job.state === "finished" ? (
        <h1 class="verdict" data-testid="verdict">
          {verdict(job)}
        </h1>
      ) : (
        <Progress job={job} />
      )}
      {live && <Live app={app} state={state} job={job} />}
      {!live && job.state !== "finished" && <Ended app={app} state={state} job={job} />}
      {job.state === "finished" && (
        <div class="actions">
          {canContinue(job) && (
            <button
              type="button"
              class="primary small"
              disabled={state.starting || !state.device.value}
              onClick={() => void app.runs.trainLonger(job.id, job.settings.epochs * LONGER)}
            >
              {state.starting ? "Continuing…" : "Train longer"}
            </button>
          )}
          <button
            type="button"
            class={canContinue(job) ? "quiet" : "primary small"}
            disabled={state.starting}
            onClick={() => app.runs.setUp()}
          >
            New run
          </button>
          <span class="facts">
            {canContinue(job) &&
              `Continues to ${counted(job.settings.epochs * LONGER, "epoch")} from where it ended. Finished `}
            {date(job.updated)}
          </span>
        </div>
      )}
      {state.startError && <Alert id="start-error">{state.startError}</Alert>}
    </section>
  );
}

/** Whether every training has a checkpoint to continue from. */
function canContinue({ trainings }: Job): boolean {
  return trainings.every(({ checkpoint }) => checkpoint !== null);
}

function Progress({ job }: { job: Job }) {
  const { share, done, total } = progress(job);
  const { activity } = job;
  return (
    <>
      <h1 class="percent">{percent(share)}</h1>
      <div
        class="tracks"
        role="progressbar"
        aria-label="Progress"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(share * 100)}
        aria-valuetext={total ? `step ${count(done)} of ${count(total)}` : "preparing"}
      >
        {methodsOf(job.settings).map((method) => {
          const training = trainingOf(job, method);
          const part = training?.steps ? training.step / training.steps : 0;
          return (
            <div key={method} class={`track method ${method}`}>
              <span class="fill" style={{ transform: `scaleX(${part})` }} />
              <span class="label">
                {methodTitles[method]}
                {training && ` ${count(training.step)} / ${count(training.steps)}`}
              </span>
            </div>
          );
        })}
      </div>
      <p class="activity" data-testid="activity">
        {activity ? (
          <>
            {sentence(activity.text).slice(0, -1)}{" "}
            <i>
              {count(activity.done)} of {count(activity.total)}
            </i>
          </>
        ) : job.state === "running" ? (
          "Preparing"
        ) : (
          LABELS[job.state]
        )}
      </p>
    </>
  );
}

function Live({ app, state, job }: Props) {
  const current = job.trainings.at(-1);
  const { asked } = state;
  return (
    <>
      <dl class="stats">
        <div>
          <dt>Tokens per second</dt>
          <dd data-testid="pace">{current?.tokensPerSecond ? count(current.tokensPerSecond) : "–"}</dd>
        </div>
        <div>
          <dt>Time left</dt>
          <dd data-testid="time-left">{job.secondsLeft === null ? "–" : `about ${duration(job.secondsLeft)}`}</dd>
        </div>
        <div>
          <dt>Loss</dt>
          <dd>{current?.losses.length ? decimal(current.losses.at(-1) ?? 0, 3) : "–"}</dd>
        </div>
        <div>
          <dt>Epoch</dt>
          <dd>{current?.step ? `${current.epoch} of ${job.settings.epochs}` : "–"}</dd>
        </div>
      </dl>
      <div class="actions">
        {job.state === "paused" ? (
          <button type="button" class="primary small" disabled={asked !== null} onClick={() => app.runs.resume()}>
            {asked === "resume" ? "Resuming…" : "Resume"}
          </button>
        ) : (
          <button type="button" class="quiet" disabled={asked !== null} onClick={() => app.runs.pause()}>
            {asked === "pause" ? "Pausing…" : "Pause"}
          </button>
        )}
        <button type="button" class="quiet" disabled={asked === "stop"} onClick={() => app.runs.stop()}>
          {asked === "stop" ? "Stopping…" : "Stop"}
        </button>
        <span class="facts">
          Training continues in a hidden tab. After closing the tab it can be resumed from the latest checkpoint
          {checkpointStep(job) > 0 && ` (step ${count(checkpointStep(job))})`}.
        </span>
      </div>
    </>
  );
}

function Ended({ app, state, job }: Props) {
  const step = checkpointStep(job);
  const { total } = progress(job);
  const checkpoint =
    step > 0
      ? `Its checkpoint at step ${count(step)} of ${count(total)} is kept.`
      : "It has no checkpoint and restarts from the beginning.";
  const reason =
    job.state === "failed"
      ? `The run failed: ${sentence(job.message ?? "unknown reason")}`
      : job.state === "stopped"
        ? "The run was stopped."
        : "The run was interrupted.";
  return (
    <>
      {job.state === "failed" ? (
        <Alert id="job-error">
          {reason} {checkpoint}
        </Alert>
      ) : (
        <p data-testid="job-ended">
          {reason} {checkpoint}
        </p>
      )}
      <div class="actions">
        <button
          type="button"
          class="primary small"
          disabled={state.starting || !state.device.value}
          onClick={() => void app.runs.resumeStored(job.id)}
        >
          {state.starting ? "Resuming…" : "Resume"}
        </button>
        <button type="button" class="quiet" onClick={() => app.runs.setUp()}>
          Back to setup
        </button>
      </div>
    </>
  );
}
