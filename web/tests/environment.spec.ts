import AxeBuilder from "@axe-core/playwright";
import { expect, finished, open, prependToWorker, SMALL, test } from "./page.js";

test("without WebGPU the page lists supported browsers and trains on the CPU", async ({ page }, info) => {
  await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined }));
  await prependToWorker(page, 'Object.defineProperty(WorkerNavigator.prototype, "gpu", { get: () => undefined });');
  await open(page, `compare=0&${SMALL}`);
  await expect(page.getByTestId("no-gpu")).toContainText("Firefox");
  await expect(page.getByTestId("no-gpu")).toContainText("Safari");
  await expect(page.getByTestId("device")).toContainText("CPU");
  await page.screenshot({ path: info.outputPath("no-gpu.png"), fullPage: true });
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await finished(page);
});

test("the page works offline once loaded", async ({ page, context }) => {
  await open(page, `device=cpu&compare=0&${SMALL}`);
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await context.setOffline(true);
  await page.reload();
  await expect(page.getByTestId("model")).toContainText("361,280", { timeout: 60_000 });
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await finished(page);
});

test("a dark phone-sized page works by keyboard", async ({ page }, info) => {
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 375, height: 800 });
  await open(page, `device=cpu&${SMALL}`);
  const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(await overflow()).toBeLessThanOrEqual(0);
  await page.screenshot({ path: info.outputPath("phone-setup.png"), fullPage: true });
  const start = page.getByRole("button", { name: "Start", exact: true });
  const box = await start.boundingBox();
  expect((box?.y ?? 0) + (box?.height ?? 0), "Start is seen without scrolling, also on a short phone").toBeLessThan(
    560,
  );
  for (let presses = 0; presses < 30; presses++) {
    await page.keyboard.press("Tab");
    if (await start.evaluate((button) => button === document.activeElement)) break;
  }
  await page.keyboard.press("Enter");
  await finished(page);
  expect(await overflow()).toBeLessThanOrEqual(0);
  await page.screenshot({ path: info.outputPath("phone-finished.png"), fullPage: true });
});

test("the page has no accessibility violations in light and dark", async ({ page }) => {
  const expectNoViolations = async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      expect((await new AxeBuilder({ page }).analyze()).violations, colorScheme).toEqual([]);
    }
  };
  await open(page, `device=cpu&${SMALL}&tau=7`);
  await expect(page.getByTestId("plan")).toContainText("Measured", { timeout: 60_000 });
  for (const details of await page.locator("details > summary").all()) await details.click();
  await expectNoViolations();
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await finished(page);
  await expectNoViolations();
});

test("the first run is sized to about 20 seconds, others to two minutes", async ({ page }) => {
  await open(page, "device=cpu");
  const measured = page.getByText(/Measured on this device/).first();
  await expect(measured).toContainText(/about (a few seconds|15 seconds|30 seconds)/, { timeout: 60_000 });
  await expect(page.getByLabel("Learning rate", { exact: true })).toHaveValue("0.003");
  expect(new URL(page.url()).hash).toBe("#device=cpu");
  await page.getByRole("button", { name: "Fit to 2 minutes" }).click();
  await expect(page.getByLabel("Learning rate", { exact: true })).toHaveValue("0.001", { timeout: 60_000 });
  await expect(page.getByLabel("Epochs")).toHaveValue("3");
});

test("settings are read from and written to the link", async ({ page }) => {
  await open(page, `device=cpu&tau=0.5&${SMALL}`);
  await expect(page.getByLabel("Margin τ")).toHaveValue("0.5");
  await page.getByLabel("Margin τ").fill("0.75");
  await page.getByLabel("Margin τ").blur();
  await expect.poll(() => page.url()).toContain("tau=0.75");
});
