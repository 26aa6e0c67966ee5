/** Returns about `count` round numbers from `low` to `high`. */
export function linearTicks(low: number, high: number, count: number): number[] {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0) || !Number.isFinite(raw)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10) * power;
  const ticks: number[] = [];
  // By index: summing steps would drift.
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index++) {
    ticks.push(Number((index * step).toPrecision(12)));
  }
  return ticks;
}

/** Returns round numbers from `low` to `high`, both positive, for a logarithmic axis. */
export function logTicks(low: number, high: number, count: number): number[] {
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
  const fitting = candidates.filter(({ length }) => length >= 3 && length <= count + 2).at(-1);
  if (fitting) return fitting;
  const fewest = candidates[0] ?? [];
  return fewest.length >= 3 ? fewest : linearTicks(low, high, count);
}

/** Formats a tick. */
export function tickText(value: number): string {
  if (Math.abs(value) >= 10_000) return `${Number((value / 1000).toPrecision(3))}k`;
  return String(Number(value.toPrecision(4))).replace("-", "\u2212");
}
