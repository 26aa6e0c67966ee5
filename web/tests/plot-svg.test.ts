import assert from "node:assert/strict";
import { test } from "node:test";
import type { LinePlot, PlotStyle } from "../src/page/charts/plot-svg.js";
import { escaped, framed, lineChartSvg } from "../src/page/charts/plot-svg.js";
import type { Line } from "../src/page/charts/sample.js";

const style: PlotStyle = {
  ink: "black",
  muted: "gray",
  grid: "silver",
  surface: "white",
  font: '"A & B", sans-serif',
  series: (method, faint) => `${method}${faint ? "-faint" : ""}`,
};
const names = { mft: "MFT", ft: "FT" } as LinePlot["names"];

/** Returns the points of every line of a file. */
function drawn(svg: string): [number, number][][] {
  const lines = [...svg.matchAll(/<polyline points="([^"]*)"/g)];
  return lines.map(([, points]) =>
    (points ?? "").split(" ").map((pair) => pair.split(",").map(Number) as [number, number]),
  );
}

test("text is escaped", () => {
  assert.equal(escaped('a < b & "c"'), "a &lt; b &amp; &quot;c&quot;");
  const svg = framed("<title>", [{ name: "A & B", color: "red" }], style, "", [100, 50]);
  assert.match(svg, /&lt;title&gt;.*A &amp; B/s);
  assert.ok(!svg.includes("<title>"));
});

test("a line goes from left to right, and higher values are above", () => {
  const lines: Line[] = [
    {
      method: "mft",
      points: [
        [0, 1],
        [5, 4],
        [10, 2],
      ],
      marks: true,
    },
    {
      method: "ft",
      points: [
        [0, 1],
        [10, 3],
      ],
      faint: true,
    },
  ];
  const svg = lineChartSvg({ title: "Loss", lines, steps: 10, log: false, names }, style);
  const [mft, ft] = drawn(svg);
  assert.equal(mft?.length, 3);
  const [[x0, y0], [x1, y1], [x2, y2]] = mft as [[number, number], [number, number], [number, number]];
  assert.ok(x0 < x1 && x1 < x2 && Math.abs(x1 - (x0 + x2) / 2) < 0.1);
  assert.ok(y1 < y2 && y2 < y0);
  assert.deepEqual(ft?.[0], [x0, y0]);
  assert.equal(svg.match(/<circle/g)?.length, 3);
  // Faint lines are not in the legend.
  assert.ok(svg.includes(">MFT</text>") && !svg.includes(">FT</text>"));
  assert.ok(svg.includes('stroke="ft-faint"'));
});

test("a logarithmic axis has equal distances for equal factors, and leaves out what it cannot show", () => {
  const lines: Line[] = [
    {
      method: "mft",
      points: [
        [0, 1],
        [1, 10],
        [2, 100],
        [3, 0],
        [4, Number.NaN],
      ],
    },
  ];
  const svg = lineChartSvg({ title: "Perplexity", lines, steps: 4, log: true, names }, style);
  const [[a, b, c] = [], ...rest] = drawn(svg);
  assert.equal(rest.length, 0);
  assert.equal(drawn(svg)[0]?.length, 3);
  assert.ok(a && b && c && Math.abs(a[1] - b[1] - (b[1] - c[1])) < 0.05);
  assert.ok(!/NaN|Infinity/.test(svg));
});

test("a chart without values is a frame", () => {
  const svg = lineChartSvg({ title: "Loss", lines: [], steps: 1, log: false, names }, style);
  assert.ok(svg.startsWith("<svg ") && !/NaN|Infinity/.test(svg));
});
