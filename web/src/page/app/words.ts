import type { Job } from "../../package/index.js";
import { MiniftError, methodTitles } from "../../package/index.js";
import { count, duration, percent, sentence } from "../format.js";
import { checkpointStep, progress, verdict } from "../metrics.js";
import type { State } from "../state.js";

/** Formats an error as a sentence. */
export function errorText(error: unknown): string {
  return sentence(error instanceof Error ? error.message : String(error));
}

/** Whether an error is the loss of the worker, which `onLost` reports. */
export function isLoss(error: unknown): boolean {
  return error instanceof MiniftError && error.kind === "Lost";
}

/** Describes a job's state for screen readers. */
export function spoken(job: Job): string {
  const { done, total, share } = progress(job);
  switch (job.state) {
    case "running": {
      const left = job.secondsLeft === null ? "" : `, ${duration(job.secondsLeft)} left`;
      const activity = job.activity ? `${job.activity.text}, ` : "";
      return total ? `${activity}${percent(share)}${left}` : activity.replace(/, $/, "");
    }
    case "paused":
      return `Paused at step ${count(done)} of ${count(total)}`;
    case "finished":
      return `Finished. ${verdict(job)}`;
    case "failed":
      return `The run failed: ${job.message ?? "unknown reason"}`;
    default:
      return `Stopped; the latest checkpoint is at step ${count(checkpointStep(job))}`;
  }
}

/** Returns the document title. */
export function title({ job, starting }: State): string {
  if (job?.state === "running") return `${percent(progress(job).share)} · minift`;
  if (job?.state === "paused") return "Paused · minift";
  if (job?.state === "finished") {
    const names = job.trainings.map(({ method }) => methodTitles[method]).join(" and ");
    return `${names} done · minift`;
  }
  return starting ? "Starting · minift" : "minift";
}
