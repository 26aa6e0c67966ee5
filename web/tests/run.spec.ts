import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  download,
  downloaded,
  expect,
  expectResponsive,
  finished,
  nativePerplexity,
  observeLongTasks,
  open,
  pageTime,
  report,
  SMALL,
  test,
} from "./page.js";

test("a WebGPU run is paused, resumed, compared and downloaded", async ({ page }, info) => {
  test.setTimeout(600_000);
  await observeLongTasks(page);
  await open(page, `device=gpu&${SMALL}`);
  await expect(page.getByTestId("device")).toContainText("GPU");
  await page.screenshot({ path: info.outputPath("setup.png"), fullPage: true });
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page.getByTestId("activity")).toContainText("minifinetuning", { timeout: 200_000 });

  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByTestId("run")).toHaveAttribute("data-state", "paused", { timeout: 60_000 });
  const paused = await page.getByTestId("run").innerText();
  await page.waitForTimeout(2000);
  expect(await page.getByTestId("run").innerText()).toBe(paused);
  await page.screenshot({ path: info.outputPath("paused.png"), fullPage: true });
  const resumed = await pageTime(page);
  await page.getByRole("button", { name: "Resume" }).click();
  await expect(page.getByTestId("run")).toHaveAttribute("data-state", "running");
  await finished(page, 400_000);
  await expectResponsive(page, resumed);
  await page.screenshot({ path: info.outputPath("finished.png"), fullPage: true });

  const { runs } = await report(page);
  const [mft, ft] = runs.map(({ result }: { result: object }) => result);
  expect([mft.method, ft.method]).toEqual(["mft", "ft"]);
  // S/DG; undefined if nothing was forgotten.
  const ratio = (result: { specialization: number; degeneralization: number }) =>
    result.degeneralization > 0 ? result.specialization / result.degeneralization : Infinity;
  expect(mft.specialization).toBeGreaterThan(0);
  expect(ratio(mft)).toBeGreaterThanOrEqual(2 * ratio(ft));
  await expect(page.getByTestId("results")).toContainText(mft.domain_perplexity_after.toFixed(1).slice(0, 3));

  const csv = await download(page, "Download CSV");
  const rows = csv.trim().split("\r\n");
  expect(rows[0]).toBe("method,step,loss,domain_perplexity,general_perplexity");
  expect(rows.filter((row) => row.startsWith("mft,")).length).toBeGreaterThanOrEqual(mft.steps);

  const html = await download(page, "Download report");
  expect(html).toMatch(/^<!doctype html>/);
  expect(html.match(/src="data:image\/png/g)).toHaveLength(3);
  expect(html).toContain(mft.domain_perplexity_after.toFixed(1).slice(0, 3));
  expect(html).not.toMatch(/<(script|button|link)/);

  // The native program computes the same perplexity for the downloaded folder.
  const folder = mkdtempSync(join(tmpdir(), "minift-"));
  const zip = await downloaded(page, "Download MFT model");
  execFileSync("python3", ["-m", "zipfile", "-e", zip, folder]);
  const model = join(folder, "minift-tales-360k-mft");
  expect(nativePerplexity(["--model", model], folder) / mft.domain_perplexity_after).toBeCloseTo(1, 3);
});

test("the native program loads a downloaded adapter", async ({ page }) => {
  await observeLongTasks(page);
  await open(page, `device=cpu&compare=0&${SMALL}`);
  await page.getByText("Advanced").click();
  await page.getByRole("radio", { name: "LoRA" }).check();
  await expect.poll(() => page.url()).toContain("adapter=lora");
  const started = await pageTime(page);
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await finished(page);
  await expectResponsive(page, started);
  const [run] = (await report(page)).runs;
  expect(run.trainable_parameters).toBe(58_368);

  const folder = mkdtempSync(join(tmpdir(), "minift-"));
  const zip = await downloaded(page, "Download MFT adapter");
  execFileSync("python3", ["-m", "zipfile", "-e", zip, folder]);
  const adapter = ["--adapter-dir", join(folder, "minift-tales-360k-mft-lora")];
  expect(run.result.domain_perplexity_after).toBeLessThan(run.result.domain_perplexity_before);
  expect(nativePerplexity(adapter, folder) / run.result.domain_perplexity_after).toBeCloseTo(1, 3);
});
