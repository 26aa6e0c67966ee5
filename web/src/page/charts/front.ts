import type { EvaluationMetrics, Front, FrontPoint } from "../../package/index.js";
import type { Point } from "./sample.js";

/** The unit of gain and forgetting. */
export type Unit = "points" | "nats";

/** Returns what is forgotten and what is gained. */
export function toPoint(metrics: EvaluationMetrics, unit: Unit): Point {
  return unit === "points"
    ? [metrics.degeneralization, metrics.specialization]
    : [metrics.generalNats, 0 - metrics.domainNats];
}

/** Returns the measured points of a front around a strength, and how far it is from the first to the second. */
function around({ points }: Front, weight: number): { from: FrontPoint; to: FrontPoint; part: number } | null {
  const to = points.find((point) => point.weight >= weight) ?? points.at(-1);
  const from = points.findLast((point) => point.weight <= weight) ?? points[0];
  if (!from || !to) return null;
  const part = to.weight > from.weight ? (weight - from.weight) / (to.weight - from.weight) : 0;
  return { from, to, part };
}

/** Returns the place of a strength on a front, between its measured points; null for an empty front. */
export function placeAt(front: Front, weight: number, unit: Unit): Point | null {
  const found = around(front, weight);
  if (!found) return null;
  const [a, b] = [toPoint(found.from.metrics, unit), toPoint(found.to.metrics, unit)];
  return [a[0] + found.part * (b[0] - a[0]), a[1] + found.part * (b[1] - a[1])];
}

/** Estimates the perplexities at a strength from the measured points around it, linearly in their logarithms. */
export function estimateAt(front: Front, weight: number): { domain: number; general: number } | null {
  const found = around(front, weight);
  if (!found) return null;
  const { from, to, part } = found;
  const between = (a: number, b: number): number => a ** (1 - part) * b ** part;
  return { domain: between(from.domain, to.domain), general: between(from.general, to.general) };
}

/** Returns the strength whose place is the nearest to a place on the screen, and its distance. */
export function nearest(
  front: Front,
  unit: Unit,
  toScreen: (point: Point) => Point,
  [x, y]: Point,
): { weight: number; distance: number } {
  let found = { weight: 1, distance: Number.POSITIVE_INFINITY };
  front.points.slice(1).forEach((to, index) => {
    const from = front.points[index] ?? to;
    const [a, b] = [toScreen(toPoint(from.metrics, unit)), toScreen(toPoint(to.metrics, unit))];
    const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
    const length = dx * dx + dy * dy;
    const along = length > 0 ? ((x - a[0]) * dx + (y - a[1]) * dy) / length : 0;
    const part = Math.min(1, Math.max(0, along));
    const distance = Math.hypot(a[0] + part * dx - x, a[1] + part * dy - y);
    const weight = from.weight + part * (to.weight - from.weight);
    if (distance < found.distance) found = { weight, distance };
  });
  return found;
}
