import { readFileSync } from "node:fs";
import { expect, test } from "@playwright/test";
import { transformSync } from "esbuild";

const example = /```ts\n([\s\S]*?)```/.exec(readFileSync("README.md", "utf8"))?.[1] ?? "";

test("the README example trains in another page", async ({ page }) => {
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
});
