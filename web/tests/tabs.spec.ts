import { expect, finished, open, SMALL, test } from "./page.js";

/** A run that is long enough to be seen from another tab. */
const LONG = "device=cpu&samples=200&epochs=60&batch=4&length=64&eval=8&evals=3&compare=0";

test("a second tab says whose run is in progress, trains itself, and sees the end of the first", async ({
  page,
  context,
}, info) => {
  await open(page, LONG);
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page.getByTestId("activity")).toContainText(/minifinetuning/i, { timeout: 120_000 });

  const second = await context.newPage();
  await open(second, `device=cpu&compare=0&${SMALL}`);
  const notice = second.getByTestId("elsewhere");
  await expect(notice).toContainText(/another tab is running a run/i, { timeout: 30_000 });
  await expect(notice).toContainText("minift-tales-360k on bicycle workshop tickets");
  await second.screenshot({ path: info.outputPath("second-tab.png"), fullPage: true });
  // The run of the other tab can neither be resumed nor deleted here.
  const row = second.getByTestId("job").first();
  await expect(row).toContainText("running in another tab");
  await expect(row.getByRole("button", { name: "Resume" })).toHaveCount(0);
  await expect(row.getByRole("button", { name: "Delete" })).toHaveCount(0);

  await second.getByRole("button", { name: "Start", exact: true }).click();
  await finished(second);

  await page.getByRole("button", { name: "Stop" }).click();
  await expect(page.getByTestId("run")).toHaveAttribute("data-state", "stopped", { timeout: 60_000 });
  await expect(second.getByTestId("job").filter({ hasText: "stopped" })).toHaveCount(1, { timeout: 30_000 });
});
