import { expect, test } from "@playwright/test";
import type * as Exports from "../wasm-tests/minift.js";

declare global {
  interface Window {
    minift: typeof Exports;
  }
}

test.beforeEach(async ({ page }) => {
  page.on("console", (message) => console.log(message.type(), message.text().slice(0, 300)));
  await page.goto("http://localhost:8182/web/tests/kernels.html");
  await page.waitForFunction(() => "minift" in window);
});

test("the loss on WebGPU is the authors' own code's, in all 30 cases", async ({ page }) => {
  const checks = await page.evaluate(async () => {
    const response = await fetch("/tests/data/mft_loss.safetensors");
    const vectors = new Uint8Array(await response.arrayBuffer());
    const device = await window.minift.Device.open("gpu");
    if (device.info().kind !== "gpu") throw new Error("not on WebGPU");
    return device.examine(vectors, () => undefined);
  });
  expect(checks.filter(({ ok }) => !ok)).toEqual([]);
  const names = checks.map(({ check }) => check);
  const cases = new Set(names.filter((name) => /^v\d+_/.test(name)).map((name) => name.split(":")[0]));
  expect(cases.size).toBe(30);
});

for (const [training, tau] of [["mft_0.25", 0.25], ["ft_0.0", 1]] as const) {
  test(`training ${training} on WebGPU follows PyTorch's, step by step`, async ({ page }) => {
    const error = await page.evaluate(
      async ([training, tau, steps]) => {
        const response = await fetch("/tests/data/training.safetensors");
        const bytes = new Uint8Array(await response.arrayBuffer());
        const device = await window.minift.Device.open("gpu");
        return window.minift.trainingError(device, bytes, training, tau, steps);
      },
      [training, tau, tau === 1 ? 5 : 20] as const,
    );
    expect(error).toBeLessThan(1e-3);
  });
}

const FAMILIES = ["gemma3", "gpt2", "gpt_neo", "llama3", "mistral", "openelm", "phi", "qwen2", "qwen3", "smollm2"];

for (const family of FAMILIES) {
  test(`${family} on WebGPU is the reference's, and takes steps of minifinetuning`, async ({ page }) => {
    const [error, ...losses] = await page.evaluate(async (family) => {
      const names = ["config.json", "model.safetensors", "expected.safetensors"];
      const [config, weights, expected] = await Promise.all(
        names.map(async (name) => {
          const response = await fetch(`/tests/data/tiny/${family}/${name}`);
          return new Uint8Array(await response.arrayBuffer());
        }),
      );
      if (!config || !weights || !expected) throw new Error("three files");
      const device = await window.minift.Device.open("gpu");
      return [...(await window.minift.familySteps(device, config, weights, expected))];
    }, family);
    expect(error).toBeLessThan(1e-4);
    expect(losses).toHaveLength(3);
    expect(losses[2]).toBeLessThan(losses[0] ?? 0);
  });
}

test("memory is flat over 300 small steps", async ({ page }) => {
  const rounds = await page.evaluate(async () => {
    const device = await window.minift.Device.open("gpu");
    const taken = await window.minift.takenByRounds(device, 75);
    return taken.map(({ heap, buffers, bufferBytes, poolBytes }) => ({ heap, buffers, bufferBytes, poolBytes }));
  });
  expect(rounds).toHaveLength(75);
  const [settled, last] = [rounds[25], rounds[74]];
  // What is in use is the same to the byte; the heap also holds what burn queues.
  expect(last?.buffers).toBe(settled?.buffers);
  expect(last?.bufferBytes).toBe(settled?.bufferBytes);
  expect(last?.heap).toBeLessThan(1.01 * (settled?.heap ?? 0));
  // The pool gives pages back and takes them again, but never more than before.
  const most = (from: number, to: number) => Math.max(...rounds.slice(from, to).map(({ poolBytes }) => poolBytes));
  expect(most(50, 75)).toBeLessThan(1.1 * most(0, 50));
});
