/** A point of a line: x and y. */
export type Point = readonly [x: number, y: number];

/** Means of neighbouring points, at most so many, since a screen shows no more. */
export function downsample(values: number[], most: number): Point[] {
  const size = Math.ceil(values.length / most);
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

/** A running mean of the points' values, in which each counts for less the older it is. */
export function smooth(points: Point[], weight: number): Point[] {
  let sum = 0;
  let weights = 0;
  return points.map(([x, y]) => {
    sum = weight * sum + y;
    weights = weight * weights + 1;
    return [x, sum / weights];
  });
}
