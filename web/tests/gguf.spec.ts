import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import type { Page } from "./page.js";
import { expect, finished, nativePerplexity, open, PROGRAM, prependToWorker, report, test } from "./page.js";

const IS_REAL = process.env.MINIFT_GGUF !== undefined;
/** A short run; of a few tokens where a real model is given, since WebGPU in software takes minutes for a step. */
const [STEPS, SAMPLES, BATCH, LENGTH, EVAL] = IS_REAL ? [3, 3, 1, 16, 2] : [2, 8, 4, 40, 8];
const RUN = `samples=${SAMPLES}&epochs=1&batch=${BATCH}&length=${LENGTH}&eval=${EVAL}&evals=1`;

/** The model of these tests: `MINIFT_GGUF`, or the embedded model as q8_0. */
function gguf(): string {
  const given = process.env.MINIFT_GGUF;
  if (given) return given;
  const file = join(mkdtempSync(join(tmpdir(), "minift-")), "tales-q8_0.gguf");
  execFileSync(PROGRAM, ["--device", "cpu", "export", "--out", file, "--type", "q8_0"]);
  return file;
}

/** Returns the bytes of the worker's WebAssembly memory, which never shrinks. */
async function heap(page: Page): Promise<number> {
  const sizes = page.workers().map((worker) =>
    worker.evaluate(() => {
      const { wasmMemory } = self as unknown as { wasmMemory?: WebAssembly.Memory };
      return wasmMemory?.buffer.byteLength ?? 0;
    }),
  );
  return Math.max(...(await Promise.all(sizes)));
}

for (const device of ["cpu", "gpu"]) {
  test(`a dropped GGUF file is adapted on the ${device.toUpperCase()} with its weights as stored`, async ({
    page,
    strict,
  }) => {
    test.setTimeout(1_800_000);
    strict.expectConsole.push(/warmup_steps = 10 exceeds/);
    await prependToWorker(
      page,
      `for (const name of ["instantiate", "instantiateStreaming"]) {
         const original = WebAssembly[name];
         WebAssembly[name] = async (...given) => {
           const done = await original(...given);
           self.wasmMemory = (done.instance ?? done).exports.memory;
           return done;
         };
       }`,
    );
    const model = gguf();
    await open(page, `device=${device}&compare=0&adapter=lora&${RUN}`);
    await expect(page.getByTestId("device")).toContainText(device.toUpperCase());
    const session = await page.context().newCDPSession(page);
    const data = { items: [], files: [resolve(model)], dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"] as const) {
      await session.send("Input.dispatchDragEvent", { type, x: 640, y: 300, data });
    }
    await expect(page.getByTestId("model")).toContainText("your model", { timeout: 120_000 });
    await expect(page.getByTestId("model")).toContainText(basename(model, ".gguf"));
    await page.getByRole("button", { name: "Start", exact: true }).click();
    const isSlow = device === "gpu" && IS_REAL;
    const stepped = () => expect(page.getByTestId("run")).toContainText(`1 of ${STEPS}`, { timeout: 1_500_000 });
    await (isSlow ? stepped() : finished(page, 1_500_000));
    expect(await heap(page)).toBeGreaterThan(0);
    expect(await heap(page), "WebAssembly memory, bytes").toBeLessThan(2 ** 30);
    // The end of the run would take an hour: it generates text.
    if (isSlow) return;

    // The native program computes the same perplexity of the untouched model.
    const [run] = (await report(page)).runs;
    expect(run.result.steps).toBe(STEPS);
    const folder = mkdtempSync(join(tmpdir(), "minift-"));
    const perplexity = nativePerplexity(["--model", model], folder, EVAL, LENGTH);
    expect(run.result.domain_perplexity_before / perplexity).toBeCloseTo(1, 3);
  });
}
