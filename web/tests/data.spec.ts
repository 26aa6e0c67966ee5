import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, finished, open, PROGRAM, report, SMALL, test } from "./page.js";

const DOMAIN_TEXT = 'input[type=file][aria-label="Choose domain text"]';
const CPU = `device=cpu&compare=0&${SMALL}`;

const file = (name: string, content: string | Buffer) => ({
  name,
  mimeType: "application/octet-stream",
  buffer: Buffer.from(content),
});

test("Parquet is read as the command line reads it", async ({ page }) => {
  await open(page, CPU);
  for (const name of ["zstd_v1.parquet", "zstd_v2.parquet"]) {
    await page.locator(DOMAIN_TEXT).setInputFiles(join("../tests/data/parquet", name));
    const text = page.getByTestId("text-domain");
    await expect(text).toContainText(name);
    await expect(text).toContainText("400 texts");
    await expect(text).toContainText("text 0, as in a file of many");
    await expect(text).toContainText('column "id" is ignored');
  }
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await finished(page);
  expect((await report(page)).setup.train).toMatchObject({ origin: "zstd_v2.parquet", samples: 24 });
});

test("a preview marks what is predicted, as the command line does", async ({ page }, info) => {
  const folder = mkdtempSync(join(tmpdir(), "minift-"));
  const pairs = Array.from({ length: 12 }, (_, index) => ({
    prompt: `Question ${index}: how many?\nAnswer:`,
    completion: ` There are ${index} of them. ${"And many words more. ".repeat(index > 10 ? 60 : 1)}`,
  }));
  const lines = pairs.map((pair) => JSON.stringify(pair)).join("\n");
  writeFileSync(join(folder, "pairs.jsonl"), lines);
  await open(page, CPU.replace("length=40", "length=64"));
  await page.locator(DOMAIN_TEXT).setInputFiles([file("pairs.jsonl", lines)]);
  await expect(page.getByTestId("text-domain")).toContainText("pairs.jsonl");
  await page.getByTestId("text-domain").getByText("What the model sees").click();
  const preview = page.getByTestId("preview-domain");
  await expect(preview).toContainText("12 samples from 12 texts · 1 truncated");
  await page.screenshot({ path: info.outputPath("preview.png"), fullPage: true });
  const shown = await preview
    .getByRole("listitem")
    .evaluateAll((samples) =>
      samples.map((sample) =>
        [...sample.childNodes]
          .filter((node) => node instanceof Element)
          .map((piece) => ({ text: piece.textContent, predicted: piece.tagName === "MARK" })),
      ),
    );

  const output = execFileSync(PROGRAM, ["--json", "data", "--max-length", "64", join(folder, "pairs.jsonl")], {
    encoding: "utf8",
  });
  const native = JSON.parse(output.trim().split("\n").at(-1) ?? "{}");
  const pieces = native.shown.map((sample: { text: string; predicted: boolean }[]) =>
    sample.map(({ text, predicted }) => ({ text, predicted })),
  );
  expect(shown).toEqual(pieces);
  expect(shown[0]?.at(-1)?.predicted).toBe(true);
  expect(shown[0]?.[0]?.predicted).toBe(false);

  // A shorter sample length shows at once what is left.
  await page.getByText("Advanced").click();
  await page.getByLabel("Max length").fill("8");
  await page.getByLabel("Max length").blur();
  await expect(page.getByTestId("preview-domain-error")).toContainText(/no answer is left|within max_length/);
});

test("each sample domain has texts and a prompt, and survives a reload of its run", async ({ page }, info) => {
  await open(page, CPU);
  const prompt = page.getByLabel("Prompt");
  for (const [name, begins] of [
    ["support answers", "Question:"],
    ["meeting notes", "Meeting:"],
    ["recipes", "Recipe:"],
  ] as const) {
    // The choice shows when the text is loaded.
    await page.getByRole("radio", { name }).click();
    await expect(page.getByTestId("text-domain").locator(".main")).toHaveText(name);
    await expect(prompt).toHaveValue(new RegExp(`^${begins}`));
  }
  await page.screenshot({ path: info.outputPath("sample-domains.png"), fullPage: true });
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page.getByTestId("activity")).toContainText(/minifinetuning/i, { timeout: 120_000 });
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByTestId("run")).toHaveAttribute("data-state", "paused");
  await page.reload();
  await page.getByTestId("interrupted").getByRole("button", { name: "Resume" }).click({ timeout: 60_000 });
  await finished(page);
  const { setup, runs } = await report(page);
  expect(setup.train.origin).toBe("recipes (embedded)");
  expect(runs[0].result.domain_perplexity_after).toBeLessThan(runs[0].result.domain_perplexity_before);
});

test("files that are no text are named by what they are", async ({ page }) => {
  await open(page, CPU);
  await expect(page.getByTestId("plan")).toContainText("Measured", { timeout: 60_000 });
  const utf16 = Buffer.from("one text\n\nanother text\n", "utf16le");
  for (const [name, content, says] of [
    ["weights.safetensors", readFileSync("../assets/minift-tales-360k/model.safetensors"), /the weights of a model/],
    ["model.gguf", "GGUF\u0003", /the weights of a model/],
    ["notes.txt", utf16, /UTF-16 without a byte order mark/],
    ["empty.txt", "", /no usable sample in empty\.txt: it contains no text/i],
    ["notes.docx", "PK\u0003\u0004", /a ZIP archive/],
    ["damaged.parquet", "PAR1 nothing PAR1", /damaged, or not a Parquet file/],
  ] as const) {
    await test.step(name, async () => {
      await page.locator(DOMAIN_TEXT).setInputFiles([file(name, content as string)]);
      await expect(page.getByTestId("text-domain-error")).toHaveText(says);
      await expect(page.getByTestId("text-domain")).toContainText("bicycle workshop tickets");
    });
  }
});
