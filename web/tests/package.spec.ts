import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "@playwright/test";
import { transformSync } from "esbuild";

const examples = [...readFileSync("README.md", "utf8").matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = ""]) => code);
const [example = "", second = ""] = examples;

// Playwright requires a destructured first argument.
// biome-ignore lint/correctness/noEmptyPattern: no fixture is used
test("the README examples are short and type-check against the package", ({}, info) => {
  expect(examples.map((code) => code.trim().split("\n").length <= 25)).toEqual([true, true]);
  const project = {
    compilerOptions: {
      target: "ES2022",
      module: "ESNext",
      moduleResolution: "Bundler",
      lib: ["ES2022", "DOM"],
      types: [],
      strict: true,
      noEmit: true,
      paths: { minift: [resolve("package/types/src/package/index.d.ts")] },
    },
    files: examples.map((_, index) => `example${index}.ts`),
  };
  for (const [index, code] of examples.entries()) writeFileSync(info.outputPath(`example${index}.ts`), code);
  writeFileSync(info.outputPath("tsconfig.json"), JSON.stringify(project));
  execFileSync("npx", ["tsc", "-p", info.outputPath("tsconfig.json")], { encoding: "utf8" });
});

test("the README examples train in another page and use the result", async ({ page }) => {
  const logs: string[] = [];
  page.on("console", (message) => logs.push(message.text()));
  page.on("pageerror", (error) => logs.push(String(error)));
  await page.goto("http://localhost:8182/web/tests/package.html");
  // The example with a smaller job.
  const small = example.replace("samples: 200", "samples: 16, maxLength: 48, evaluationSamples: 4, evaluations: 1");
  expect(small).not.toBe(example);
  const models = () => logs.filter((line) => line.includes("config.json")).length;
  const both = page.waitForEvent("console", { predicate: () => models() === 2, timeout: 120_000 });
  await page.addScriptTag({ type: "module", content: transformSync(small, { loader: "ts" }).code });
  await both;
  // A job has ended when its lock is released.
  await page.waitForFunction(async () => {
    const { held = [] } = await navigator.locks.query();
    return !held.some(({ name }) => name?.startsWith("minift-job-"));
  });
  expect(logs[0]).toMatch(/^on CPU/);
  const [before, after] = logs
    .filter((line) => /^[\d.]+ [\d.]+$/.test(line))
    .map((line) => line.split(" ").map(Number));
  expect(before?.[0]).toBeGreaterThan(after?.[0] ?? Infinity);

  logs.length = 0;
  await page.addScriptTag({ type: "module", content: transformSync(second, { loader: "ts" }).code });
  await expect.poll(() => logs.some((line) => /^mft 0\.5/.test(line)), { timeout: 60_000 }).toBe(true);
  // A continuation, and pieces of both voices.
  await expect.poll(() => logs.filter((line) => /^[01] /.test(line)).length, { timeout: 60_000 }).toBeGreaterThan(4);
  expect(logs.some((line) => line.startsWith("0 ")) && logs.some((line) => line.startsWith("1 "))).toBe(true);
  expect(logs.filter((line) => line.includes("Error"))).toEqual([]);
});
