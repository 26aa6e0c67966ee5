import type { Job } from "../package/index.js";

const HEADER = "method,step,loss,domain_perplexity,general_perplexity";

/** The charts' data: a row for each step of each method; empty where nothing was measured. */
export function toCsv(job: Job): string {
  const rows = [HEADER];
  for (const { method, losses, evaluations } of job.trainings) {
    const measured = new Map(evaluations.map((evaluation) => [evaluation.step, evaluation]));
    for (let step = 0; step <= losses.length; step++) {
      const at = measured.get(step);
      // Step 0 is the untouched model, which has no loss.
      rows.push([method, step, losses[step - 1] ?? "", at?.domain ?? "", at?.general ?? ""].join());
    }
  }
  return `${rows.join("\r\n")}\r\n`;
}
