import type { Page } from "./page.js";
import { expect, finished, open, prependToWorker, test } from "./page.js";

/** Settings of a CPU run that is long enough to be interrupted. */
const LONG = "device=cpu&samples=120&epochs=3&batch=4&length=64&eval=8&evals=6&compare=0";

/** Settings of a short GPU run: twelve steps, and no evaluation between them. */
const SHORT_GPU = "device=gpu&samples=16&epochs=3&batch=4&length=32&eval=4&evals=1&lr=0.003&compare=0";

async function startAndReach(page: Page, settings: string, activity: RegExp): Promise<void> {
  await open(page, settings);
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page.getByTestId("activity")).toContainText(activity, { timeout: 120_000 });
}

const losses = (csv: string): string[] => csv.split("\r\n").map((row) => row.split(",").slice(0, 3).join());

async function csv(page: Page): Promise<string> {
  const waiting = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download CSV" }).click();
  const stream = await (await waiting).createReadStream();
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

test("a run resumes after a reload with the same losses, and can be deleted", async ({ page }) => {
  const settings = LONG.replace("120", "60");
  await startAndReach(page, settings, /minifinetuning/i);
  await finished(page);
  const whole = losses(await csv(page));

  await page.getByRole("button", { name: "New run" }).click();
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page.getByTestId("activity")).toContainText(/minifinetuning/i, { timeout: 60_000 });
  // Pausing writes a checkpoint.
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByTestId("run")).toHaveAttribute("data-state", "paused");
  await page.reload();
  await expect(page.getByTestId("interrupted")).toBeVisible({ timeout: 60_000 });
  await page.getByTestId("interrupted").getByRole("button", { name: "Resume" }).click();
  await finished(page);
  expect(losses(await csv(page))).toEqual(whole);

  await page.reload();
  await expect(page.getByTestId("job")).toHaveCount(2, { timeout: 60_000 });
  for (const left of [1, 0]) {
    await page.getByTestId("job").first().getByRole("button", { name: "Delete" }).click();
    await page.getByRole("button", { name: "Yes, delete" }).click();
    await expect(page.getByTestId("job")).toHaveCount(left);
  }
  const stored = await page.evaluate(async () => {
    const jobs = await (await navigator.storage.getDirectory()).getDirectoryHandle("minift-jobs");
    return Array.fromAsync(jobs.keys());
  });
  expect(stored).toEqual([]);
});

test("a run resumes after its worker dies", async ({ page }) => {
  await startAndReach(page, LONG, /minifinetuning/i);
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByTestId("run")).toHaveAttribute("data-state", "paused");
  await page.getByRole("button", { name: "Resume" }).click();
  const [worker] = page.workers();
  await worker?.evaluate(() => self.close()).catch(() => undefined);
  await expect(page.getByTestId("lost")).toContainText("terminated", { timeout: 30_000 });
  await page.getByRole("button", { name: "Resume" }).first().click({ timeout: 60_000 });
  await finished(page);
});

test("a run resumes after its GPU is lost", async ({ page, strict, browser }) => {
  test.setTimeout(400_000);
  strict.expectConsole.push(/./);
  await startAndReach(page, SHORT_GPU, /minifinetuning/i);
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByTestId("run")).toHaveAttribute("data-state", "paused", { timeout: 60_000 });
  await page.getByRole("button", { name: "Resume" }).click();
  const session = await browser.newBrowserCDPSession();
  await session.send("Browser.crashGpuProcess").catch(() => undefined);
  await expect(page.getByRole("alert").first()).toBeVisible({ timeout: 60_000 });
  await page.getByRole("button", { name: "Resume" }).first().click({ timeout: 120_000 });
  await finished(page, 200_000);
});

test("a GPU out of memory is reported, and the run resumes from its checkpoint", async ({ page, strict }) => {
  test.setTimeout(400_000);
  strict.expectConsole.push(/out of memory/i);
  // Filling the memory would harm the machine: the device is made to report the error.
  await prependToWorker(
    page,
    `const request = GPUAdapter.prototype.requestDevice;
     GPUAdapter.prototype.requestDevice = async function (...given) {
       return (self.device = await request.apply(this, given));
     };`,
  );
  await startAndReach(page, SHORT_GPU, /minifinetuning/i);
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByTestId("run")).toHaveAttribute("data-state", "paused", { timeout: 60_000 });
  await page.getByRole("button", { name: "Resume" }).click();
  await page.workers()[0]?.evaluate(() => {
    const error = new GPUOutOfMemoryError("out of memory");
    const { device } = self as unknown as { device: GPUDevice };
    device.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error }));
  });
  await expect(page.getByTestId("job-error")).toContainText(
    /out of memory: use a smaller batch size, shorter samples or a smaller model\. Its checkpoint at step \d+ of \d+ is kept/,
    { timeout: 60_000 },
  );
  await page.getByRole("button", { name: "Resume" }).first().click({ timeout: 120_000 });
  await finished(page, 200_000);
});

test("full storage is reported, and the run resumes once there is room", async ({ page }) => {
  const session = await page.context().newCDPSession(page);
  const allow = (quotaSize?: number) =>
    session.send("Storage.overrideQuotaForOrigin", {
      origin: "http://localhost:8181",
      ...(quotaSize !== undefined && { quotaSize }),
    });
  await startAndReach(page, LONG, /minifinetuning/i);
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByTestId("run")).toHaveAttribute("data-state", "paused");
  await allow(1000);
  await page.getByRole("button", { name: "Resume" }).click();
  await expect(page.getByTestId("job-error")).toContainText(
    /The browser's storage is full: delete runs .* Its checkpoint at step \d+ of \d+ is kept/,
    { timeout: 60_000 },
  );
  await allow();
  await page.getByRole("button", { name: "Resume" }).first().click();
  await finished(page);
});
