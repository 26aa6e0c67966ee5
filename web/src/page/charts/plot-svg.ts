import type { Method } from "../../package/index.js";
import type { Line } from "./sample.js";
import { linearTicks, logTicks, tickText } from "./ticks.js";

/** The colors and the font of a plot in a file. */
export interface PlotStyle {
  ink: string;
  muted: string;
  grid: string;
  surface: string;
  font: string;
  /** The color of a method's line; `faint` for a line behind the others. */
  series(method: Method, faint: boolean): string;
}

/** An entry of a legend. */
export interface Entry {
  name: string;
  color: string;
}

const WIDTH = 640;
const HEIGHT = 400;
const HEADER = 64;
const MARGIN = { right: 20, bottom: 34, left: 56 };

/** Escapes text for XML. */
export function escaped(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (character) => entities[character] ?? character);
}

const rounded = (value: number): string => String(Math.round(value * 100) / 100);

/** Returns an SVG file of a plot's body under its title and legend. */
export function framed(
  title: string,
  entries: Entry[],
  style: PlotStyle,
  body: string,
  [width, height]: [number, number],
): string {
  const whole = height + HEADER;
  let x = 20;
  const legend = entries.map(({ name, color }) => {
    const entry = `<rect x="${x}" y="42" width="10" height="10" rx="5" fill="${escaped(color)}"/><text x="${x + 16}" y="51" font-size="13" fill="${escaped(style.muted)}">${escaped(name)}</text>`;
    x += 40 + name.length * 7;
    return entry;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${rounded(width)}" height="${rounded(whole)}" viewBox="0 0 ${rounded(width)} ${rounded(whole)}" font-family="${escaped(style.font)}" font-size="12">`,
    `<rect width="100%" height="100%" fill="${escaped(style.surface)}"/>`,
    `<text x="20" y="28" font-size="16" font-weight="600" fill="${escaped(style.ink)}">${escaped(title)}</text>`,
    ...legend,
    `<g transform="translate(0 ${HEADER})">${body}</g>`,
    "</svg>\n",
  ].join("\n");
}

/** What a line chart shows. */
export interface LinePlot {
  title: string;
  lines: Line[];
  /** The last step. */
  steps: number;
  log: boolean;
  names: Record<Method, string>;
}

/** Returns an SVG file of a line chart over steps. */
export function lineChartSvg({ title, lines, steps, log, names }: LinePlot, style: PlotStyle): string {
  const height = HEIGHT - HEADER;
  const values = lines
    .flatMap(({ points }) => points.map(([, y]) => y))
    .filter((y) => Number.isFinite(y) && (!log || y > 0));
  const toAxis = (value: number): number => (log ? Math.log10(value) : value);
  const axis = values.length > 0 ? values.map(toAxis) : [0, 1];
  let [low, high] = [axis.reduce((a, b) => Math.min(a, b)), axis.reduce((a, b) => Math.max(a, b))];
  const margin = Math.max((high - low) * 0.08, Math.abs(high) * 0.01, 1e-6);
  [low, high] = [low - margin, high + margin];
  const right = WIDTH - MARGIN.right;
  const bottom = height - MARGIN.bottom;
  const xOf = (step: number): number => MARGIN.left + (step / Math.max(1, steps)) * (right - MARGIN.left);
  const yOf = (value: number): number => bottom - ((toAxis(value) - low) / (high - low)) * bottom;
  const parts: string[] = [];
  const grid = (x1: number, y1: number, x2: number, y2: number): void => {
    parts.push(
      `<line x1="${rounded(x1)}" y1="${rounded(y1)}" x2="${rounded(x2)}" y2="${rounded(y2)}" stroke="${escaped(style.grid)}"/>`,
    );
  };
  const label = (x: number, y: number, anchor: string, text: string): void => {
    parts.push(
      `<text x="${rounded(x)}" y="${rounded(y)}" text-anchor="${anchor}" fill="${escaped(style.muted)}">${escaped(text)}</text>`,
    );
  };
  for (const tick of linearTicks(0, Math.max(1, steps), 8).filter(Number.isInteger)) {
    grid(xOf(tick), 0, xOf(tick), bottom);
    label(xOf(tick), bottom + 18, "middle", tickText(tick));
  }
  for (const tick of log ? logTicks(10 ** low, 10 ** high, 6) : linearTicks(low, high, 6)) {
    grid(MARGIN.left, yOf(tick), right, yOf(tick));
    label(MARGIN.left - 8, yOf(tick) + 4, "end", tickText(tick));
  }
  label(right, height - 2, "end", "step");
  for (const { method, points, faint, marks } of lines) {
    const color = escaped(style.series(method, !!faint));
    const drawn = points.filter(([, y]) => Number.isFinite(y) && (!log || y > 0));
    const path = drawn.map(([x, y]) => `${rounded(xOf(x))},${rounded(yOf(y))}`).join(" ");
    parts.push(`<polyline points="${path}" fill="none" stroke="${color}" stroke-width="${faint ? 1 : 2}"/>`);
    for (const [x, y] of marks ? drawn : []) {
      parts.push(
        `<circle cx="${rounded(xOf(x))}" cy="${rounded(yOf(y))}" r="3.5" fill="${escaped(style.surface)}" stroke="${color}" stroke-width="2"/>`,
      );
    }
  }
  const entries = lines
    .filter(({ faint }) => !faint)
    .map(({ method }) => ({ name: names[method], color: style.series(method, false) }));
  return framed(title, entries, style, parts.join("\n"), [WIDTH, height]);
}
