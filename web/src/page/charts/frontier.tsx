import { useEffect, useRef, useState } from "preact/hooks";
import type { Evaluation, Job } from "../../package/index.js";
import { decimal, signed } from "../format.js";
import { METHOD_NAMES, metrics } from "../metrics.js";
import { ChartFrame } from "./frame.js";
import type { Point } from "./sample.js";
import { linearTicks, tickText } from "./ticks.js";

type Unit = "points" | "nats";

const HEIGHT = 300;
const MARGIN = { top: 14, right: 18, bottom: 42, left: 52 };

/** Gain against forgetting: both methods on the same axes, from the untouched model outwards. */
export function FrontierChart({ job }: { job: Job }) {
  const [unit, setUnit] = useState<Unit>("points");
  const host = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(520);

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(Math.max(240, element.clientWidth)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const lines = job.trainings.map(({ method, evaluations }) => ({
    method,
    points: toPoints(evaluations, unit),
  }));
  const all = lines.flatMap(({ points }) => points);
  const x = scale(all.map(([x]) => x), MARGIN.left, width - MARGIN.right);
  const y = scale(all.map(([, y]) => y), HEIGHT - MARGIN.bottom, MARGIN.top);
  const format = (value: number): string => decimal(value, unit === "nats" ? 3 : 2);
  const values = lines.map(({ method, points }) => {
    const last = points.length > 1 ? points.at(-1) : undefined;
    return { method, text: last ? `S ${format(last[1])}, DG ${format(last[0])}` : "–" };
  });
  const inUnit = unit === "nats" ? "nats a token" : "points of perplexity";
  const spoken = values.map(({ method, text }) => `${METHOD_NAMES[method]}: ${text}`);
  return (
    <div class="frontier">
      <ChartFrame
        id="chart-frontier"
        title="Gained against forgotten"
        caption="Both methods on the same axes; up is better, left is better."
        values={values}
        summary={`In ${inUnit}, at the newest evaluation: ${spoken.join("; ")}.`}
      >
        <div ref={host}>
          <svg class="scatter" width={width} height={HEIGHT} aria-hidden="true">
            {x.ticks.map((tick) => (
              <g key={`x${tick}`}>
                <line class="grid" x1={x.at(tick)} x2={x.at(tick)} y1={MARGIN.top} y2={HEIGHT - MARGIN.bottom} />
                <text x={x.at(tick)} y={HEIGHT - MARGIN.bottom + 16} text-anchor="middle">
                  {tickText(tick)}
                </text>
              </g>
            ))}
            {y.ticks.map((tick) => (
              <g key={`y${tick}`}>
                <line class="grid" x1={MARGIN.left} x2={width - MARGIN.right} y1={y.at(tick)} y2={y.at(tick)} />
                <text x={MARGIN.left - 8} y={y.at(tick) + 4} text-anchor="end">
                  {tickText(tick)}
                </text>
              </g>
            ))}
            {/* Left of this line nothing is forgotten. */}
            <line class="zero" x1={x.at(0)} x2={x.at(0)} y1={MARGIN.top} y2={HEIGHT - MARGIN.bottom} />
            <line class="zero" x1={MARGIN.left} x2={width - MARGIN.right} y1={y.at(0)} y2={y.at(0)} />
            {lines.map(({ method, points }) => (
              <g key={method} class={method}>
                <polyline points={points.map(([a, b]) => `${x.at(a)},${y.at(b)}`).join(" ")} />
                {points.slice(1).map(([a, b], index) => (
                  <circle
                    key={index}
                    class={index === points.length - 2 ? "newest" : ""}
                    cx={x.at(a)}
                    cy={y.at(b)}
                    r={index === points.length - 2 ? 5.5 : 3.5}
                  >
                    <title>{`${METHOD_NAMES[method]}: S ${format(b)}, DG ${signed(a)}`}</title>
                  </circle>
                ))}
              </g>
            ))}
            <circle class="origin" cx={x.at(0)} cy={y.at(0)} r="4" />
            {x.at(0) - MARGIN.left > 130 && (
              <text class="name" x={x.at(0) - 8} y={HEIGHT - MARGIN.bottom - 8} text-anchor="end">
                ← nothing forgotten
              </text>
            )}
            <text class="name" x={width - MARGIN.right} y={HEIGHT - 6} text-anchor="end">
              {`forgotten: DG, ${inUnit} →`}
            </text>
            <text class="name" x={MARGIN.left + 8} y={MARGIN.top + 4}>
              {`↑ gained: S, ${inUnit}`}
            </text>
          </svg>
        </div>
      </ChartFrame>
      <fieldset class="segments small">
        <legend class="visually-hidden">Unit of the chart</legend>
        {(["points", "nats"] as const).map((value) => (
          <label key={value}>
            <input type="radio" name="frontier-unit" checked={unit === value} onChange={() => setUnit(value)} />
            <span>{value === "points" ? "Perplexity points" : "Nats per token"}</span>
          </label>
        ))}
      </fieldset>
    </div>
  );
}

/** DG and S of each evaluation, the untouched model's own at 0, 0. */
function toPoints(evaluations: Evaluation[], unit: Unit): Point[] {
  const [before] = evaluations;
  if (!before) return [];
  return evaluations.map((evaluation) => {
    const at = metrics(before, evaluation);
    return unit === "points"
      ? [at.degeneralization, at.specialization]
      : [at.generalNats, 0 - at.domainNats];
  });
}

interface Scale {
  at(value: number): number;
  ticks: number[];
}

/** A scale that holds 0 and the values, with some room at both ends. */
function scale(values: number[], from: number, to: number): Scale {
  let low = Math.min(0, ...values);
  let high = Math.max(0, ...values);
  if (high - low < 1e-9) high = low + 1;
  const room = (high - low) * 0.06;
  [low, high] = [low - room, high + room];
  return {
    at: (value) => from + ((value - low) / (high - low)) * (to - from),
    ticks: linearTicks(low, high, Math.abs(to - from) / 70),
  };
}
