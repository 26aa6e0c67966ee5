import type { AdapterKind, Evaluation, Job, Method, Training } from "../package/index.js";
import { decimal, percent } from "./format.js";

/** Short names of the methods. */
export const METHOD_NAMES: Record<Method, string> = { mft: "MFT", ft: "FT" };

/** Names of what is trained. */
export const ADAPTER_NAMES: Record<AdapterKind, string> = {
  none: "Weights",
  lora: "LoRA",
  dora: "DoRA",
  ia3: "IA³",
};

/** Names of the methods in words. */
export const METHOD_WORDS: Record<Method, string> = {
  mft: "Minifinetuning",
  ft: "Plain finetuning",
};

/** What an adaptation gained and cost. */
export interface Metrics {
  /** S: domain perplexity before − after. */
  specialization: number;
  /** DG: general perplexity after − before. */
  degeneralization: number;
  /** S / DG; null where DG ≤ 0 or S ≤ 0, where a ratio says nothing. */
  ratio: number | null;
  /** Change of the domain loss, nats a token: lower is better. */
  domainNats: number;
  /** Change of the general loss, nats a token: lower is better. */
  generalNats: number;
}

/** Compares an evaluation with that of the untouched model. */
export function metrics(before: Evaluation, after: Evaluation): Metrics {
  const specialization = before.domain - after.domain;
  const degeneralization = after.general - before.general;
  return {
    specialization,
    degeneralization,
    ratio: degeneralization > 0 && specialization > 0 ? specialization / degeneralization : null,
    domainNats: Math.log(after.domain / before.domain),
    generalNats: Math.log(after.general / before.general),
  };
}

/** S / DG in words: a number only where it says something. */
export function ratioText({ ratio, degeneralization }: Metrics): string {
  if (ratio !== null) return decimal(ratio, 1);
  return degeneralization <= 0 ? "nothing forgotten" : "nothing gained";
}

/** The evaluation of the untouched model. */
export function untouched(job: Job): Evaluation | null {
  for (const { evaluations } of job.trainings) {
    const first = evaluations.find(({ step }) => step === 0);
    if (first) return first;
  }
  return null;
}

/** The newest evaluation of a training after its beginning. */
export function latest(training: Training): Evaluation | null {
  const last = training.evaluations.at(-1);
  return last && last.step > 0 ? last : null;
}

/** The trainings that a job is made of, in their order. */
export function methodsOf({ settings }: Pick<Job, "settings">): Method[] {
  return settings.method === "mft" && settings.compare ? ["mft", "ft"] : [settings.method];
}

/** The training of a method. */
export function trainingOf(job: Job, method: Method): Training | null {
  return job.trainings.find((training) => training.method === method) ?? null;
}

/** Steps done and steps in all, over all trainings of a job. */
export function progress(job: Job): { done: number; total: number; share: number } {
  const steps = job.trainings[0]?.steps ?? 0;
  const total = steps * methodsOf(job).length;
  const done = job.trainings.reduce((sum, { step }) => sum + step, 0);
  return { done, total, share: total > 0 ? done / total : 0 };
}

/** Step of the newest checkpoint of a job that is not finished, counted over all trainings. */
export function checkpointStep(job: Job): number {
  return job.trainings.reduce(
    (sum, { finished, steps, checkpoint }) => sum + (finished ? steps : (checkpoint ?? 0)),
    0,
  );
}

function alone(name: string, { specialization, ratio, degeneralization, domainNats }: Metrics): string {
  if (specialization <= 0) return `${name} gained nothing on the domain.`;
  const gain = `${name} lowered the domain's perplexity by ${percent(1 - Math.exp(domainNats))}`;
  if (degeneralization <= 0) return `${gain}, and forgot nothing.`;
  return `${gain}, and gained ${decimal(ratio ?? 0, 1)} points for each point forgotten.`;
}

/** A job's outcome in a sentence or two; empty while there is nothing to say. */
export function verdict(job: Job): string {
  const before = untouched(job);
  if (!before) return "";
  const of = (method: Method): Metrics | null => {
    const training = trainingOf(job, method);
    const after = training?.finished ? latest(training) : null;
    return after && metrics(before, after);
  };
  const [mft, ft] = [of("mft"), of("ft")];
  if (!mft || !ft) {
    if (mft) return alone(METHOD_WORDS.mft, mft);
    return ft ? alone(METHOD_WORDS.ft, ft) : "";
  }
  if (mft.specialization <= 0 || ft.specialization <= 0) {
    return `${alone(METHOD_WORDS.mft, mft)} ${alone(METHOD_WORDS.ft, ft)}`;
  }
  const share = percent(mft.specialization / ft.specialization);
  const gained = `Minifinetuning gained ${share} of what finetuning gained`;
  if (mft.degeneralization <= 0) {
    return ft.degeneralization <= 0
      ? `${gained}; neither forgot anything.`
      : `${gained}, and forgot nothing.`;
  }
  if (ft.ratio === null) return `${gained}; finetuning forgot nothing.`;
  const times = (mft.ratio ?? 0) / ft.ratio;
  return `${gained}, and ${decimal(times, times < 20 ? 1 : 0)} times as much for each point forgotten.`;
}
