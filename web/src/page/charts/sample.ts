import type { Method } from "../../package/index.js";

/** A point of a line. */
export type Point = readonly [x: number, y: number];

/** A line of a chart. */
export interface Line {
  method: Method;
  points: Point[];
  /** Drawn behind the others and not in the legend. */
  faint?: boolean;
  /** Whether points are marked. */
  marks?: boolean;
}

/** Averages neighboring values down to at most `limit` points. */
export function downsample(values: number[], limit: number): Point[] {
  const size = Math.ceil(values.length / limit);
  if (size <= 1) return values.map((value, index) => [index + 1, value]);
  const points: Point[] = [];
  for (let start = 0; start < values.length; start += size) {
    const end = Math.min(values.length, start + size);
    let sum = 0;
    for (let index = start; index < end; index++) sum += values[index] ?? 0;
    points.push([end, sum / (end - start)]);
  }
  return points;
}

/** Returns the exponential moving average of the points, with bias correction. */
export function smooth(points: Point[], weight: number): Point[] {
  let sum = 0;
  let weights = 0;
  return points.map(([x, y]) => {
    sum = weight * sum + y;
    weights = weight * weights + 1;
    return [x, sum / weights];
  });
}
