import "./frontier.css";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Evaluation, Job } from "../../package/index.js";
import { methodTitles } from "../../package/index.js";
import { decimal, signed } from "../format.js";
import { ChartFrame } from "./frame.js";
import { plotStyle, shapes } from "./plot-image.js";
import { framed } from "./plot-svg.js";
import type { Point } from "./sample.js";
import { linearTicks, tickText } from "./ticks.js";

type Unit = "points" | "nats";

const HEIGHT = 300;
const MARGIN = { top: 14, right: 18, bottom: 42, left: 52 };

/** Gain against forgetting, starting at the untouched model. */
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
  const x = scale(
    all.map(([x]) => x),
    MARGIN.left,
    width - MARGIN.right,
  );
  const y = scale(
    all.map(([, y]) => y),
    HEIGHT - MARGIN.bottom,
    MARGIN.top,
  );
  const format = (value: number): string => decimal(value, unit === "nats" ? 3 : 2);
  const values = lines.map(({ method, points }) => {
    const last = points.length > 1 ? points.at(-1) : undefined;
    return { method, text: last ? `S ${format(last[1])}, DG ${format(last[0])}` : "–" };
  });
  const inUnit = unit === "nats" ? "nats per token" : "perplexity points";
  const summary = values.map(({ method, text }) => `${methodTitles[method]}: ${text}`);
  return (
    <div class="frontier">
      <ChartFrame
        id="chart-frontier"
        title="Gain against forgetting"
        caption="Up is better, left is better."
        values={values}
        image={() => {
          const plot = host.current?.querySelector("svg");
          if (!host.current || !plot) return "";
          const style = plotStyle(host.current);
          const entries = lines.map(({ method }) => ({
            name: methodTitles[method],
            color: style.series(method, false),
          }));
          return framed("Gain against forgetting", entries, style, shapes(plot), [width, HEIGHT]);
        }}
        summary={`In ${inUnit}, at the latest evaluation: ${summary.join("; ")}.`}
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
            {/* Nothing is forgotten left of this line. */}
            <line class="zero" x1={x.at(0)} x2={x.at(0)} y1={MARGIN.top} y2={HEIGHT - MARGIN.bottom} />
            <line class="zero" x1={MARGIN.left} x2={width - MARGIN.right} y1={y.at(0)} y2={y.at(0)} />
            {lines.map(({ method, points }) => (
              <g key={method} class={`method ${method}`}>
                <polyline points={points.map(([a, b]) => `${x.at(a)},${y.at(b)}`).join(" ")} />
                {points.slice(1).map(([a, b], index) => (
                  <circle
                    key={index}
                    class={index === points.length - 2 ? "latest" : ""}
                    cx={x.at(a)}
                    cy={y.at(b)}
                    r={index === points.length - 2 ? 5.5 : 3.5}
                  >
                    <title>{`${methodTitles[method]}: S ${format(b)}, DG ${signed(a)}`}</title>
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
              {`forgetting: DG, ${inUnit} →`}
            </text>
            <text class="name" x={MARGIN.left + 8} y={MARGIN.top + 4}>
              {`↑ gain: S, ${inUnit}`}
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

/** Returns DG and S of each evaluation; the untouched model is at (0, 0). */
function toPoints(evaluations: Evaluation[], unit: Unit): Point[] {
  return evaluations.map(({ metrics }) =>
    unit === "points"
      ? [metrics.degeneralization, metrics.specialization]
      : [metrics.generalNats, 0 - metrics.domainNats],
  );
}

interface Scale {
  at(value: number): number;
  ticks: number[];
}

/** Returns a scale that covers 0 and the values, with a margin at both ends. */
function scale(values: number[], from: number, to: number): Scale {
  let low = Math.min(0, ...values);
  let high = Math.max(0, ...values);
  if (high - low < 1e-9) high = low + 1;
  const margin = (high - low) * 0.06;
  [low, high] = [low - margin, high + margin];
  return {
    at: (value) => from + ((value - low) / (high - low)) * (to - from),
    ticks: linearTicks(low, high, Math.abs(to - from) / 70),
  };
}
