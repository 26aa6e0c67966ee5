// Compares the training speed of the page and of the native program on the same job: on the CPU, and
// on SwiftShader, the software GPU of Chromium, which a native program can also use.
//
//   npm run bench      after build.sh and `cargo build --release`; MINIFT is the native program
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "@playwright/test";
import { launchOptions } from "./browser.mjs";
import { serve } from "./serve.mjs";

const PORT = 8183;
const WORK = { samples: 32, epochs: 3, batchSize: 8, maxLength: 128 };
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";
const program = process.env.MINIFT ?? "../target/release/minift";

/** Returns the predicted tokens per second of the native program. */
function native(device, environment) {
  const folder = mkdtempSync(join(tmpdir(), "minift-bench-"));
  try {
    const output = execFileSync(
      program,
      [
        ...["--json", "train", "--device", device, "--data", "../assets/tickets.jsonl", "--out", join(folder, "out")],
        ...["--samples", WORK.samples, "--epochs", WORK.epochs, "--batch-size", WORK.batchSize],
        ...["--max-length", WORK.maxLength, "--held-out", "../assets/tales.jsonl"],
      ].map(String),
      { env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "ignore"] },
    );
    const events = output
      .toString()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    return events.find(({ event }) => event === "done").tokens_per_second;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Returns the page's tokens per second, and the longest task of its main thread in milliseconds. */
async function inPage(browser, device) {
  const page = await browser.newPage();
  await page.goto(`http://localhost:${PORT}/web/tests/package.html`);
  const measured = await page.evaluate(
    async ([device, work]) => {
      const { Client, defaultSettings } = await import("/web/package/index.js");
      const minift = new Client();
      await minift.request({ type: "open", device });
      await minift.request({ type: "loadModel", files: null });
      for (const role of ["domain", "general"]) await minift.request({ type: "loadText", role, file: null });
      let longest = 0;
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
      }).observe({ type: "longtask" });
      const settings = { ...defaultSettings, ...work, compare: [], evaluations: 1, evaluationSamples: 4 };
      return new Promise((resolve, reject) => {
        let speed = 0;
        minift.onEvent((_, event) => {
          if (event.type === "step") speed = event.tokensPerSecond;
          if (event.type === "trained") resolve({ speed, longest });
        });
        minift.request({ type: "start", settings }).catch(reject);
      });
    },
    [device, WORK],
  );
  await page.close();
  return measured;
}

const server = await serve("..", PORT);
const browser = await chromium.launch(launchOptions);
const rows = [
  ["native, CPU, all threads", native("cpu", {}), null],
  ["native, CPU, one thread", native("cpu", { RAYON_NUM_THREADS: "1" }), null],
];
const cpu = await inPage(browser, "cpu");
rows.push(["page, CPU", cpu.speed, cpu.longest]);
if (existsSync(SWIFTSHADER)) {
  rows.push([
    "native, SwiftShader",
    native("gpu", { VK_ICD_FILENAMES: SWIFTSHADER, VK_DRIVER_FILES: SWIFTSHADER }),
    null,
  ]);
}
const gpu = await inPage(browser, "gpu");
rows.push(["page, WebGPU", gpu.speed, gpu.longest]);
await browser.close();
server.close();

console.log(`MFT on the embedded model: ${JSON.stringify(WORK)}`);
for (const [name, speed, longest] of rows) {
  const blocked = longest === null ? "" : `   longest task of the main thread: ${longest || "below 50"} ms`;
  console.log(`${name.padEnd(26)} ${speed.toFixed(0).padStart(8)} tokens/s${blocked}`);
}
