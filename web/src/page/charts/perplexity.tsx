import { useMemo } from "preact/hooks";
import type { Job } from "../../package/index.js";
import { perplexity } from "../format.js";
import { LineChart } from "./line-chart.js";
import type { Line } from "./sample.js";

const TITLES = {
  domain: ["Domain perplexity", "Measures the gain: lower is better. Log axis."],
  general: ["General perplexity", "Measures forgetting: lower is better. Log axis."],
} as const;

interface Props {
  job: Job;
  set: "domain" | "general";
  dark: boolean;
}

/** The perplexity on one of the sets. */
export function PerplexityChart({ job, set, dark }: Props) {
  const { trainings } = job;
  const lines = useMemo(
    () =>
      trainings.map(({ method, evaluations }): Line => {
        const points = evaluations.map((evaluation) => [evaluation.step, evaluation[set]] as const);
        return { method, points, marks: true };
      }),
    [trainings, set],
  );
  const [title, caption] = TITLES[set];
  return (
    <LineChart
      id={`chart-${set}`}
      title={title}
      caption={caption}
      lines={lines}
      steps={trainings[0]?.steps ?? 1}
      log
      format={perplexity}
      dark={dark}
    />
  );
}
