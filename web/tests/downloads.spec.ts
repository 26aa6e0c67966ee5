import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "./page.js";
import { downloaded, expect, finished, nativePerplexity, open, report, SMALL, test } from "./page.js";

const CPU = `device=cpu&compare=0&${SMALL}`;
const PLOTS = ["Gain against forgetting", "Domain perplexity", "General perplexity", "Loss"];

/** Downloads a zip archive and returns the folder in it. */
async function unpacked(page: Page, button: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "minift-"));
  execFileSync("python3", ["-m", "zipfile", "-e", await downloaded(page, button), folder]);
  return join(folder, readdirSync(folder)[0] ?? "");
}

/** Runs a small training to its end and returns its perplexity on the domain. */
async function trained(page: Page, settings: string): Promise<number> {
  await open(page, settings);
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await finished(page);
  return (await report(page)).runs[0].result.domain_perplexity_after;
}

for (const adapter of ["none", "lora"]) {
  test(`a model in GGUF has the perplexity of the run (adapter ${adapter})`, async ({ page }, info) => {
    const expected = await trained(page, `${CPU}&adapter=${adapter}`);
    await page.screenshot({ path: info.outputPath("downloads.png"), fullPage: true });
    for (const [kind, digits] of [
      ["f16", 3],
      ["q8_0", 2],
    ] as const) {
      const folder = await unpacked(page, `Download MFT GGUF ${kind}`);
      const name = `minift-tales-360k-mft-${kind}.gguf`;
      expect(readdirSync(folder).sort()).toEqual(["Modelfile", name]);
      expect(readFileSync(join(folder, "Modelfile"), "utf8")).toContain(`FROM ./${name}`);
      const model = ["--model", join(folder, name)];
      expect(nativePerplexity(model, folder) / expected).toBeCloseTo(1, digits);
    }
  });
}

test("every plot is downloaded as SVG and as PNG", async ({ page }, info) => {
  await trained(page, CPU);
  for (const plot of PLOTS) {
    const svg = readFileSync(await downloaded(page, `Download SVG: ${plot}`), "utf8");
    const parsed = await page.evaluate((svg) => {
      const { documentElement: root } = new DOMParser().parseFromString(svg, "image/svg+xml");
      const lines = [...root.querySelectorAll("polyline")].filter(({ points }) => points.length > 1);
      return { root: root.tagName, text: root.textContent, lines: lines.length };
    }, svg);
    expect(parsed.root).toBe("svg");
    expect(parsed.text).toContain(plot);
    expect(parsed.text).toContain("MFT");
    expect(parsed.lines).toBeGreaterThan(0);
    // It needs nothing of the page.
    expect(svg).not.toMatch(/var\(|class=|NaN|Infinity/);

    const png = readFileSync(await downloaded(page, `Download PNG: ${plot}`));
    expect(png.subarray(1, 4).toString()).toBe("PNG");
    expect(png.length).toBeGreaterThan(3000);
    await info.attach(`${plot}.png`, { body: png, contentType: "image/png" });
  }
});
