import type { Evaluation, EvaluationMetrics, Job, Method, Training } from "../package/index.js";
import { allMethods, methodNames, methodsOf } from "../package/index.js";
import { decimal, percent } from "./format.js";

/** Names of the methods, capitalized. */
export const METHOD_WORDS = Object.fromEntries(
  allMethods.map((method) => [method, capitalized(methodNames[method])]),
) as Record<Method, string>;

function capitalized(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** S/DG as text; in words where it is undefined. */
export function ratioText({ ratio, ratioText }: EvaluationMetrics): string {
  return ratio === null ? ratioText : decimal(ratio, 1);
}

/** Returns the evaluation of the untouched model. */
export function untouched(job: Job): Evaluation | null {
  for (const { evaluations } of job.trainings) {
    const first = evaluations.find(({ step }) => step === 0);
    if (first) return first;
  }
  return null;
}

/** Returns the latest evaluation of a training after step 0. */
export function latest(training: Training): Evaluation | null {
  const last = training.evaluations.at(-1);
  return last && last.step > 0 ? last : null;
}

/** Returns the training of a method. */
export function trainingOf(job: Job, method: Method): Training | null {
  return job.trainings.find((training) => training.method === method) ?? null;
}

/** Returns completed and total steps over all trainings of a job. */
export function progress(job: Job): { done: number; total: number; share: number } {
  const steps = job.trainings[0]?.steps ?? 0;
  const total = methodsOf(job.settings).reduce((sum, method) => sum + (trainingOf(job, method)?.steps ?? steps), 0);
  const done = job.trainings.reduce((sum, { step }) => sum + step, 0);
  return { done, total, share: total > 0 ? done / total : 0 };
}

/** Returns the step of the latest checkpoint of an unfinished job, counted over all trainings. */
export function checkpointStep(job: Job): number {
  return job.trainings.reduce(
    (sum, { finished, steps, checkpoint }) => sum + (finished ? steps : (checkpoint ?? 0)),
    0,
  );
}

/** Whether general perplexity is no longer finite. */
function diverged({ ratio, degeneralization }: EvaluationMetrics): boolean {
  return ratio === null && !(degeneralization <= 0);
}

function verdictOf(method: Method, metrics: EvaluationMetrics): string {
  const { specialization, ratio, domainNats } = metrics;
  const name = METHOD_WORDS[method];
  if (!(specialization > 0)) return `${name} did not improve domain perplexity.`;
  const gain = `${name} lowered domain perplexity by ${percent(1 - Math.exp(domainNats))}`;
  if (diverged(metrics)) return `${gain}, but general perplexity diverged.`;
  if (ratio === null) return `${gain} and forgot nothing.`;
  return `${gain} and gained ${decimal(ratio, 1)} points per point forgotten.`;
}

/** Summarizes the outcome of a job in a sentence or two; empty without a finished training. */
export function verdict(job: Job): string {
  const metricsOf = (method: Method): EvaluationMetrics | null => {
    const training = trainingOf(job, method);
    return (training?.finished && latest(training)?.metrics) || null;
  };
  const [mft, ft] = [metricsOf("mft"), metricsOf("ft")];
  if (!mft || !ft) {
    const method = methodsOf(job.settings).find((method) => metricsOf(method));
    const found = method && metricsOf(method);
    return found ? verdictOf(method, found) : "";
  }
  const comparable = [mft, ft].every((found) => found.specialization > 0 && !diverged(found));
  if (!comparable) {
    return `${verdictOf("mft", mft)} ${verdictOf("ft", ft)}`;
  }
  const share = percent(mft.specialization / ft.specialization);
  const gained = `${METHOD_WORDS.mft} achieved ${share} of the gain of ${methodNames.ft}`;
  if (mft.ratio === null) {
    return ft.ratio === null ? `${gained}; neither forgot anything.` : `${gained} and forgot nothing.`;
  }
  if (ft.ratio === null) return `${gained}; ${methodNames.ft} forgot nothing.`;
  const times = mft.ratio / ft.ratio;
  return `${gained}, and ${decimal(times, times < 20 ? 1 : 0)} times the gain per point forgotten.`;
}
