import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { methodTitles } from "../../package/index.js";
import { ChartFrame } from "./frame.js";
import { plotStyle, resolvedColor } from "./plot-image.js";
import { lineChartSvg } from "./plot-svg.js";
import type { Line, Point } from "./sample.js";
import { linearTicks, logTicks, tickText } from "./ticks.js";

interface Props {
  title: string;
  caption: string;
  lines: Line[];
  /** The last step, which fixes the x axis. */
  steps: number;
  /** Whether the y axis is logarithmic. */
  log?: boolean;
  format(value: number): string;
  /** Whether the theme is dark, which sets the colors. */
  dark: boolean;
  id: string;
}

const HEIGHT = 210;

/** A line chart over steps, drawn by uPlot. */
export function LineChart({ title, caption, lines, steps, log = false, format, dark, id }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [hovered, setHovered] = useState<number | null>(null);
  // The plot is recreated only when its lines change, not their points.
  const kinds = lines.map(({ method, faint, marks }) => `${method} ${!!faint} ${!!marks}`).join();
  const data = useMemo(() => align(lines, log), [lines, log]);
  const xs = data[0] as number[];

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const created = new uPlot(options(element, lines, log, steps, setHovered), data as uPlot.AlignedData, element);
    plot.current = created;
    const observer = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width > 0 && width !== created.width) created.setSize({ width, height: HEIGHT });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      created.destroy();
      plot.current = null;
    };
  }, [kinds, log, steps, dark]);

  useEffect(() => {
    plot.current?.setData(data as uPlot.AlignedData);
  }, [data]);

  const x = hovered === null ? null : (xs[hovered] ?? null);
  const shown = lines.filter(({ faint }) => !faint);
  const values = shown.map(({ method, points }) => ({ method, at: valueAt(points, x) }));
  const summary = shown.map(({ method, points }) => {
    const [first, last] = [points[0], points.at(-1)];
    if (!first || !last) return `${methodTitles[method]}: no values yet`;
    return `${methodTitles[method]}: from ${format(first[1])} to ${format(last[1])} at step ${last[0]}`;
  });
  return (
    <ChartFrame
      title={title}
      caption={caption}
      id={id}
      summary={`${summary.join("; ")}.`}
      note={x === null ? "" : `step ${x}`}
      image={() => {
        const plot = { title, lines, steps, log, names: methodTitles };
        return host.current ? lineChartSvg(plot, plotStyle(host.current)) : "";
      }}
      values={values.map(({ method, at }) => ({ method, text: at === null ? "–" : format(at) }))}
    >
      <div ref={host} class="plot" aria-hidden="true" />
    </ChartFrame>
  );
}

/** Returns the value at or before x; the last value if x is null. */
function valueAt(points: Point[], x: number | null): number | null {
  if (x === null) return points.at(-1)?.[1] ?? null;
  let found: number | null = null;
  for (const [at, value] of points) if (at <= x) found = value;
  return found;
}

/** Aligns the lines to common x values, with gaps where a line has no point. */
function align(lines: Line[], log: boolean): (number | null)[][] {
  const xs = [...new Set(lines.flatMap(({ points }) => points.map(([x]) => x)))];
  xs.sort((a, b) => a - b);
  const columns = lines.map(({ points }) => {
    const at = new Map(points.map(([x, y]) => [x, log ? Math.log10(y) : y]));
    return xs.map((x) => at.get(x) ?? null);
  });
  return [xs, ...columns];
}

function options(
  element: HTMLElement,
  lines: Line[],
  log: boolean,
  steps: number,
  setHovered: (index: number | null) => void,
): uPlot.Options {
  const style = getComputedStyle(element);
  const color = (value: string, method = ""): string => resolvedColor(element, value, method);
  const font = `12px ${style.fontFamily}`;
  const axis: uPlot.Axis = {
    stroke: color("var(--muted)"),
    font,
    grid: { stroke: color("var(--grid)"), width: 1 },
    ticks: { show: false },
    gap: 6,
  };
  return {
    width: element.clientWidth || 300,
    height: HEIGHT,
    padding: [8, 10, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
    scales: {
      x: { time: false, range: [0, Math.max(1, steps)] },
      y: { range: (_, low, high) => padded(low, high) },
    },
    axes: [
      { ...axis, size: 28, splits: (_, __, low, high) => linearTicks(low, high, 5).filter(Number.isInteger) },
      {
        ...axis,
        size: 46,
        splits: (_, __, low, high) =>
          log ? logTicks(10 ** low, 10 ** high, 5).map(Math.log10) : linearTicks(low, high, 5),
        values: (_, splits) => splits.map((value) => tickText(log ? 10 ** value : value)),
        filter: (_, splits) => splits,
      },
    ],
    series: [
      {},
      ...lines.map(
        ({ method, faint, marks }): uPlot.Series => ({
          stroke: color(faint ? "var(--series-faint)" : "var(--series)", method),
          width: faint ? 1 : 2,
          spanGaps: true,
          points: { show: !!marks, size: 7, width: 2, fill: color("var(--surface)") },
        }),
      ),
    ],
    hooks: { setCursor: [({ cursor }) => setHovered(cursor.idx ?? null)] },
  };
}

/** Adds a margin above and below the values, even if all are equal. */
function padded(low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const margin = Math.max((high - low) * 0.08, Math.abs(high) * 0.01, 1e-6);
  return [low - margin, high + margin];
}
