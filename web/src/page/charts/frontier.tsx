import "./frontier.css";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Front, Job, Method } from "../../package/index.js";
import { methodTitles } from "../../package/index.js";
import { decimal, signed } from "../format.js";
import type { State } from "../state.js";
import { ChartFrame } from "./frame.js";
import type { Unit } from "./front.js";
import { nearest, placeAt, toPoint } from "./front.js";
import { plotStyle, shapes } from "./plot-image.js";
import { framed } from "./plot-svg.js";
import type { Point } from "./sample.js";
import { linearTicks, tickText } from "./ticks.js";

const HEIGHT = 320;
const MARGIN = { top: 14, right: 18, bottom: 42, left: 52 };
/** Pixels around a front within which the pointer moves its strength. */
const REACH = 40;
/** Steps of the strength. */
export const WEIGHT_STEP = 0.05;

interface Props {
  job: Job;
  dials: State["dials"];
  /** Chooses the strength of a training. */
  onDial(method: Method, weight: number): void;
}

/** A training in the chart: its evaluations over time, and its front once it is finished. */
interface Series {
  method: Method;
  path: Point[];
  front: Front | null;
  ends: Point[];
  /** The place of the chosen strength, or of the latest evaluation. */
  latest: Point | undefined;
}

/** Gain against forgetting: each training from the untouched model on, and its front, along which it can be moved. */
export function FrontierChart({ job, dials, onDial }: Props) {
  const [unit, setUnit] = useState<Unit>("points");
  const host = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(520);
  const [dragged, setDragged] = useState<Method | null>(null);

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(Math.max(240, element.clientWidth)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const series = job.trainings.map(({ method, evaluations, front }): Series => {
    const path = evaluations.map(({ metrics }) => toPoint(metrics, unit));
    const ends = front?.points.map(({ metrics }) => toPoint(metrics, unit)) ?? [];
    const { weight = 1, point = null } = dials[method] ?? {};
    const measured = point?.measured && toPoint(point.measured.metrics, unit);
    const chosen = front && (measured ?? placeAt(front, weight, unit));
    return { method, path, front, ends, latest: chosen ?? (path.length > 1 ? path.at(-1) : undefined) };
  });
  const all = series.flatMap(({ path, ends, latest }) => [...path, ...ends, ...(latest ? [latest] : [])]);
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
  const toScreen = ([a, b]: Point): Point => [x.at(a), y.at(b)];
  const line = (points: Point[]): string => points.map((point) => toScreen(point).join()).join(" ");
  const format = (value: number): string => decimal(value, unit === "nats" ? 3 : 2);
  const values = series.map(({ method, front, latest }) => {
    const strength = front ? `w ${dials[method]?.weight ?? 1}: ` : "";
    return { method, text: latest ? `${strength}S ${format(latest[1])}, DG ${format(latest[0])}` : "–" };
  });
  const inUnit = unit === "nats" ? "nats per token" : "perplexity points";
  const summary = values.map(({ method, text }) => `${methodTitles[method]}: ${text}`);
  const fronts = series.flatMap(({ method, front }) => (front ? [{ method, front }] : []));

  /** Moves the front that is dragged, or the nearest one; returns it. */
  const drag = (event: PointerEvent, only: Method | null): Method | null => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const at: Point = [event.clientX - box.left, event.clientY - box.top];
    const near = fronts
      .filter(({ method }) => only === null || method === only)
      .map(({ method, front }) => ({ method, ...nearest(front, unit, toScreen, at) }))
      .sort((a, b) => a.distance - b.distance)[0];
    if (!near || (only === null && near.distance > REACH)) return null;
    onDial(near.method, Number((Math.round(near.weight / WEIGHT_STEP) * WEIGHT_STEP).toFixed(2)));
    return near.method;
  };
  return (
    <div class="frontier">
      <ChartFrame
        id="chart-frontier"
        title="Gain against forgetting"
        caption={
          fronts.length > 0
            ? "Up is better, left is better. Drag along a line to change the strength w of a training."
            : "Up is better, left is better."
        }
        values={values}
        image={() => {
          const plot = host.current?.querySelector("svg");
          if (!host.current || !plot) return "";
          const style = plotStyle(host.current);
          const entries = series.map(({ method }) => ({
            name: methodTitles[method],
            color: style.series(method, false),
          }));
          return framed("Gain against forgetting", entries, style, shapes(plot), [width, HEIGHT]);
        }}
        summary={`In ${inUnit}, at the latest evaluation: ${summary.join("; ")}.`}
      >
        <div ref={host}>
          {/* The sliders below do the same by keyboard. */}
          <svg
            class={fronts.length > 0 ? "scatter dialled" : "scatter"}
            width={width}
            height={HEIGHT}
            aria-hidden="true"
            onPointerDown={(event) => {
              const method = drag(event, null);
              setDragged(method);
              if (method) event.currentTarget.setPointerCapture(event.pointerId);
            }}
            onPointerMove={(event) => dragged && drag(event, dragged)}
            onPointerUp={() => setDragged(null)}
            onPointerCancel={() => setDragged(null)}
          >
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
            {series.map(({ method, path, front, ends, latest }) => (
              <g key={method} class={`method ${method}`}>
                <polyline class={front ? "path" : ""} points={line(path)} />
                <polyline points={line(ends)} />
                {(front ? ends : path.slice(1)).map((point, index) => (
                  <circle key={index} cx={toScreen(point)[0]} cy={toScreen(point)[1]} r={3.5}>
                    <title>
                      {front && `strength ${front.points[index]?.weight}, `}
                      {`${methodTitles[method]}: S ${format(point[1])}, DG ${signed(point[0])}`}
                    </title>
                  </circle>
                ))}
                {latest && (
                  <circle class="latest" cx={toScreen(latest)[0]} cy={toScreen(latest)[1]} r={front ? 8 : 5.5} />
                )}
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
