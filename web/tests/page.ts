import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { test as base, expect } from "@playwright/test";

export type { Page };
export { expect };

/** A test that fails on console errors and on requests to other origins. */
export const test = base.extend<{ strict: { expectConsole: RegExp[] } }>({
  strict: [
    async ({ page, context }, use) => {
      const strict: { expectConsole: RegExp[] } = { expectConsole: [] };
      const errors: string[] = [];
      page.on("console", (message) => {
        const text = message.text();
        if (!["error", "warning"].includes(message.type())) return;
        if (!strict.expectConsole.some((expected) => expected.test(text))) errors.push(text);
      });
      page.on("pageerror", (error) => errors.push(String(error)));
      context.on("request", (request) => {
        const url = new URL(request.url());
        const own = url.origin === "http://localhost:8181" || ["blob:", "data:"].includes(url.protocol);
        if (!own) errors.push(`a request to ${request.url()}`);
      });
      await use(strict);
      expect(errors).toEqual([]);
    },
    { auto: true },
  ],
});

/** Settings of a run that is short even on a software GPU. */
export const SMALL = "samples=24&epochs=3&batch=4&length=40&eval=8&evals=3&lr=0.003";

/** Settings of the shortest run whose learning rate is warmed up, where what it learns does not matter. */
export const SHORTEST = "samples=10&epochs=2&batch=2&length=40&eval=4&evals=1&lr=0.003";

/** Opens the page with settings and waits for the embedded model. */
export async function open(page: Page, settings: string): Promise<void> {
  await page.goto(`/#${settings}`);
  await expect(page.getByTestId("model")).toContainText("361,280", { timeout: 60_000 });
}

/** Waits until the run is finished. */
export async function finished(page: Page, timeout = 200_000): Promise<void> {
  await expect(page.getByTestId("run")).toHaveAttribute("data-state", "finished", { timeout });
}

/** Prepends a script to the worker, whose globals differ from the page's. */
export async function prependToWorker(page: Page, script: string): Promise<void> {
  await page.route("**/worker.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${script}\n${await response.text()}` });
  });
}

/** Records the long tasks of the main thread from the next navigation on. */
export async function observeLongTasks(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const longTasks: PerformanceEntry[] = [];
    Object.assign(window, { longTasks });
    new PerformanceObserver((list) => longTasks.push(...list.getEntries())).observe({ type: "longtask" });
  });
}

/** Returns the page's current time, for {@link expectResponsive}. */
export function pageTime(page: Page): Promise<number> {
  return page.evaluate(() => performance.now());
}

/**
 * Expects the main thread to have been responsive since a time. Training on the main thread would
 * block it nearly all of the time; the bounds leave room for a loaded machine.
 */
export async function expectResponsive(page: Page, since: number): Promise<void> {
  const { durations, elapsed } = await page.evaluate((since) => {
    const { longTasks } = window as unknown as { longTasks: PerformanceEntry[] };
    const durations = longTasks.filter(({ startTime }) => startTime >= since).map(({ duration }) => duration);
    return { durations, elapsed: performance.now() - since };
  }, since);
  const blocked = durations.reduce((sum, duration) => sum + duration, 0);
  expect(Math.max(0, ...durations), "longest task of the main thread, ms").toBeLessThan(1000);
  expect(blocked / elapsed, "share of time that the main thread was blocked").toBeLessThan(0.5);
}

/** The native program. */
export const PROGRAM = process.env.MINIFT ?? "../target/release/minift";

/** Returns the perplexity on the page's held-out tickets by the native program. */
export function nativePerplexity(model: string[], folder: string, count = 8, length = 40): number {
  const tickets = readFileSync("../assets/tickets.jsonl", "utf8").trim().split("\n");
  const text = join(folder, "held-out.jsonl");
  writeFileSync(text, tickets.slice(500, 500 + count).join("\n"));
  const rest = ["--device", "cpu", "--data", text, "--max-length", String(length)];
  const output = execFileSync(PROGRAM, ["--json", "eval", ...model, ...rest], { encoding: "utf8" });
  return JSON.parse(output.trim().split("\n").at(-1) ?? "{}").perplexity;
}

/** Presses a button, and returns the path of what is downloaded. */
export async function downloaded(page: Page, button: string): Promise<string> {
  const waiting = page.waitForEvent("download");
  await page.getByRole("button", { name: button }).click();
  return (await waiting).path();
}

/** Presses a button, and returns the text that is downloaded. */
export async function download(page: Page, button: string): Promise<string> {
  return readFileSync(await downloaded(page, button), "utf8");
}

/** Returns the `run.json` of a finished run. */
export async function report(page: Page) {
  return JSON.parse(await download(page, "Download run.json"));
}
