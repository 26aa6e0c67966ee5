import { useMemo } from "preact/hooks";
import type { Job } from "../../package/index.js";
import { decimal } from "../format.js";
import { LineChart } from "./line-chart.js";
import { downsample, smooth } from "./sample.js";

const MAX_POINTS = 400;
const format = (value: number): string => decimal(value, 3);

/** The loss per step. */
export function LossChart({ job, dark }: { job: Job; dark: boolean }) {
  const { trainings } = job;
  const lines = useMemo(() => {
    const raw = trainings.map(({ method, losses }) => ({
      method,
      points: downsample(losses, MAX_POINTS),
    }));
    const smoothed = raw.map(({ method, points }) => ({ method, points: smooth(points, 0.88) }));
    return [...raw.map((line) => ({ ...line, faint: true })), ...smoothed];
  }, [trainings]);
  return (
    <LineChart
      id="chart-loss"
      title="Loss"
      caption={
        trainings.length > 1
          ? "The methods have different targets: compare trends, not values."
          : "Per step, and smoothed."
      }
      lines={lines}
      steps={trainings[0]?.steps ?? 1}
      format={format}
      dark={dark}
    />
  );
}
