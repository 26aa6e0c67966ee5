import { expect, test } from "@playwright/test";
import type * as Exports from "../wasm-tests/minift.js";

declare global {
  interface Window {
    minift: typeof Exports;
    memory: WebAssembly.Memory;
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

test("memory is flat over 300 small steps", async ({ page }) => {
  const { pool, heap } = await page.evaluate(async () => {
    const device = await window.minift.Device.open("gpu");
    const pool: number[] = [];
    const heap: number[] = [];
    for (let part = 0; part < 3; part++) {
      pool.push(...(await window.minift.poolAfterRounds(device, 25)));
      heap.push(window.memory.buffer.byteLength);
    }
    return { pool, heap };
  });
  expect(pool).toHaveLength(75);
  expect(pool[5]).toBeGreaterThan(0);
  for (let part = 0; part < 3; part++) {
    const [settled, last] = [pool[part * 25 + 5], pool[part * 25 + 24]];
    expect(last).toBeLessThanOrEqual(settled * 1.02);
  }
  // A new trainer for each part: what one leaves behind, the next takes up.
  expect(pool[74]).toBeLessThanOrEqual(pool[24] * 1.05);
  expect(heap[2]).toBe(heap[1]);
});
