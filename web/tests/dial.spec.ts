import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "./page.js";
import {
  downloaded,
  expect,
  expectResponsive,
  finished,
  nativePerplexity,
  observeLongTasks,
  open,
  pageTime,
  SHORTEST,
  SMALL,
  test,
} from "./page.js";

/** Sets the strength of a training and returns its measured perplexities. */
async function dial(page: Page, title: string, method: string, weight: number): Promise<[number, number]> {
  await page.getByLabel(`Strength of ${title}`).fill(String(weight));
  await expect(page.getByTestId(`dial-${method}`)).toHaveAttribute("aria-busy", "false", { timeout: 60_000 });
  const found = ["domain", "general"].map(async (set) => {
    const text = await page.getByTestId(`dial-${method}-${set}`).textContent();
    expect(text).toMatch(/^[\d.,]+$/);
    return Number(text?.replace(",", ""));
  });
  const [domain = Number.NaN, general = Number.NaN] = await Promise.all(found);
  return [domain, general];
}

test("the strength of both trainings is chosen on the CPU and downloaded", async ({ page }, info) => {
  await observeLongTasks(page);
  await open(page, `device=cpu&${SMALL}`);
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await finished(page);
  const began = await pageTime(page);
  const untouched = await dial(page, "FT", "ft", 0);
  const half = await dial(page, "FT", "ft", 0.5);
  const whole = await dial(page, "FT", "ft", 1);
  expect(half[0]).toBeLessThan(untouched[0]);
  expect(whole[0]).toBeLessThan(half[0]);
  expect(half[1]).toBeLessThan(whole[1]);
  await expect(page.getByTestId("dial-ft")).toContainText("Right choices");
  await expect(page.getByTestId("dial-ft-text")).not.toHaveText("…");

  // Dragging along the front of the plot moves the same strength.
  const latest = page.locator('[data-testid="chart-frontier"] .ft .latest');
  const box = await latest.boundingBox();
  if (!box) throw new Error("the chosen strength is not in the plot");
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  const origin = await page.locator('[data-testid="chart-frontier"] .origin').boundingBox();
  await page.mouse.move(origin?.x ?? 0, origin?.y ?? 0, { steps: 10 });
  await page.mouse.up();
  await expect(page.getByLabel("Strength of FT")).not.toHaveValue("1");

  const [chosen] = await dial(page, "MFT", "mft", 0.7);
  await expectResponsive(page, began);
  await page.screenshot({ path: info.outputPath("dial.png"), fullPage: true });
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  const folder = mkdtempSync(join(tmpdir(), "minift-"));
  const zip = await downloaded(page, "Download MFT model at strength 0.7");
  execFileSync("python3", ["-m", "zipfile", "-e", zip, folder]);
  const model = ["--model", join(folder, "minift-tales-360k-mft-at-0.7")];
  expect(Math.abs(nativePerplexity(model, folder) / chosen - 1)).toBeLessThan(1e-3);
});

test("the strength of an adapter is chosen after a reload, on WebGPU", async ({ page }) => {
  await open(page, `device=gpu&compare=0&adapter=lora&${SHORTEST}`);
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await finished(page);
  await page.reload();
  await page.getByRole("button", { name: "Results" }).click();
  const untouched = await dial(page, "MFT", "mft", 0);
  const half = await dial(page, "MFT", "mft", 0.5);
  expect(half[0]).toBeLessThan(untouched[0]);
  await downloaded(page, "Download MFT adapter at strength 0.5");
});

test("a finished run is trained longer", async ({ page }) => {
  await open(page, `device=cpu&compare=0&${SMALL}`);
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await finished(page);
  await page.getByRole("button", { name: "Train longer" }).click();
  await expect(page.getByTestId("run")).toHaveAttribute("data-state", "running");
  await finished(page);
  await page.getByText("Settings of this run").click();
  await expect(page.locator(".used")).toContainText("Epochs12");
  const steps = await page.getByTestId("chart-loss").locator(".visually-hidden").textContent();
  // 24 samples in batches of 4, 12 epochs.
  expect(steps).toContain("at step 72");
});
