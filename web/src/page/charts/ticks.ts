/** Round numbers from `low` to `high`, about `wanted` of them. */
export function linearTicks(low: number, high: number, wanted: number): number[] {
  const raw = (high - low) / Math.max(1, wanted);
  if (!(raw > 0) || !Number.isFinite(raw)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10) * power;
  const ticks: number[] = [];
  // By index, since sums of steps drift.
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index++) {
    ticks.push(Number((index * step).toPrecision(12)));
  }
  return ticks;
}

/** Round numbers from `low` to `high`, both above 0, for an axis by logarithm. */
export function logTicks(low: number, high: number, wanted: number): number[] {
  const candidates = [[1], [1, 3], [1, 2, 5]].map((factors) => {
    const ticks: number[] = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const factor of factors) {
        const tick = factor * 10 ** power;
        if (tick >= low && tick <= high) ticks.push(Number(tick.toPrecision(3)));
      }
    }
    return ticks;
  });
  const fitting = candidates.filter(({ length }) => length >= 3 && length <= wanted + 2).at(-1);
  if (fitting) return fitting;
  const fewest = candidates[0] ?? [];
  return fewest.length >= 3 ? fewest : linearTicks(low, high, wanted);
}

/** A tick as text. */
export function tickText(value: number): string {
  if (Math.abs(value) >= 10_000) return `${Number((value / 1000).toPrecision(3))}k`;
  return String(Number(value.toPrecision(4))).replace("-", "\u2212");
}
