import { test as base, expect } from "@playwright/test";
import type { Page } from "@playwright/test";

export { expect };
export type { Page };

/** What every test of the page checks beside its own matter. */
export const test = base.extend<{ strict: { expectConsole: RegExp[] } }>({
  strict: [
    async ({ page, context }, use) => {
      const strict: { expectConsole: RegExp[] } = { expectConsole: [] };
      const faults: string[] = [];
      page.on("console", (message) => {
        const text = message.text();
        if (!["error", "warning"].includes(message.type())) return;
        if (!strict.expectConsole.some((expected) => expected.test(text))) faults.push(text);
      });
      page.on("pageerror", (error) => faults.push(String(error)));
      context.on("request", (request) => {
        const url = new URL(request.url());
        const own = url.origin === "http://localhost:8181" || ["blob:", "data:"].includes(url.protocol);
        if (!own) faults.push(`a request to ${request.url()}`);
      });
      await use(strict);
      expect(faults).toEqual([]);
    },
    { auto: true },
  ],
});

/** Settings with which a run ends soon even on a software GPU. */
export const SMALL = "samples=24&epochs=3&batch=4&length=40&eval=8&evals=3&lr=0.003";

export async function open(page: Page, settings: string): Promise<void> {
  await page.goto(`/#${settings}`);
  await expect(page.getByTestId("model")).toContainText("361,280", { timeout: 60_000 });
}

export async function finished(page: Page, timeout = 200_000): Promise<void> {
  await expect(page.getByTestId("run")).toHaveAttribute("data-state", "finished", { timeout });
}

/** Has the worker run a script before its own: it has globals of its own. */
export async function prependToWorker(page: Page, script: string): Promise<void> {
  await page.route("**/worker.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${script}\n${await response.text()}` });
  });
}
