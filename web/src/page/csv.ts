import type { Job } from "../package/index.js";

const HEADER = "method,step,loss,domain_perplexity,general_perplexity";

/** Returns the charts' data, one row per step and method; perplexities are empty between evaluations. */
export function toCsv(job: Job): string {
  const rows = [HEADER];
  for (const { method, losses, evaluations } of job.trainings) {
    const evaluated = new Map(evaluations.map((evaluation) => [evaluation.step, evaluation]));
    for (let step = 0; step <= losses.length; step++) {
      const at = evaluated.get(step);
      // Step 0 is the untouched model, which has no loss.
      rows.push([method, step, losses[step - 1] ?? "", at?.domain ?? "", at?.general ?? ""].join());
    }
  }
  return `${rows.join("\r\n")}\r\n`;
}
