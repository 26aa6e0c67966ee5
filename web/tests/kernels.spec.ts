import type { Browser, Page } from "@playwright/test";
import { expect, test } from "@playwright/test";
import type * as Exports from "../wasm-tests/minift.js";

declare global {
  interface Window {
    minift: typeof Exports;
    /** The device of all tests but the last; its pipelines are compiled once. */
    device: Exports.Device;
  }
}

let page: Page;

async function openModule(browser: Browser): Promise<Page> {
  const page = await browser.newPage();
  page.on("console", (message) => console.log(message.type(), message.text().slice(0, 300)));
  await page.goto("http://localhost:8182/web/tests/kernels.html");
  await page.waitForFunction(() => "minift" in window);
  return page;
}

test.beforeAll(async ({ browser }) => {
  page = await openModule(browser);
  await page.evaluate(async () => {
    window.device = await window.minift.Device.open("gpu");
  });
});

test.afterAll(() => page.close());

test("the loss on WebGPU matches the authors' code in all 30 cases", async () => {
  const checks = await page.evaluate(async () => {
    const response = await fetch("/tests/data/mft_loss.safetensors");
    const vectors = new Uint8Array(await response.arrayBuffer());
    const { device } = window;
    if (device.info().kind !== "gpu") throw new Error("the device is not WebGPU");
    return device.examine(vectors, () => undefined);
  });
  expect(checks.filter(({ ok }) => !ok)).toEqual([]);
  const names = checks.map(({ check }) => check);
  const cases = new Set(names.filter((name) => /^v\d+_/.test(name)).map((name) => name.split(":")[0]));
  expect(cases.size).toBe(30);
});

for (const [training, tau] of [
  ["mft_0.25", 0.25],
  ["ft_0.0", 1],
] as const) {
  test(`training ${training} on WebGPU matches PyTorch step by step`, async () => {
    const error = await page.evaluate(
      async ([training, tau, steps]) => {
        const response = await fetch("/tests/data/training.safetensors");
        const bytes = new Uint8Array(await response.arrayBuffer());
        return window.minift.trainingError(window.device, bytes, training, tau, steps);
      },
      [training, tau, tau === 1 ? 5 : 20] as const,
    );
    expect(error).toBeLessThan(1e-3);
  });
}

const FAMILIES = [
  "ernie4_5",
  "gemma2",
  "gemma3",
  "gemma4",
  "gpt2",
  "gpt_neo",
  "gpt_neox",
  "granite",
  "hunyuan_dense",
  "lfm2",
  "llama3",
  "ministral3",
  "mistral",
  "olmo2",
  "olmo3",
  "openelm",
  "phi",
  "phi3",
  "qwen2",
  "qwen3",
  "qwen3_5",
  "smollm2",
  "smollm3",
];

for (const family of FAMILIES) {
  test(`${family} on WebGPU matches the reference and trains`, async () => {
    const [error, ...losses] = await page.evaluate(async (family) => {
      const names = ["config.json", "model.safetensors", "expected.safetensors"];
      const [config, weights, expected] = await Promise.all(
        names.map(async (name) => {
          const response = await fetch(`/tests/data/tiny/${family}/${name}`);
          return new Uint8Array(await response.arrayBuffer());
        }),
      );
      if (!config || !weights || !expected) throw new Error("a file is missing");
      return [...(await window.minift.familySteps(window.device, config, weights, expected))];
    }, family);
    expect(error).toBeLessThan(1e-4);
    expect(losses).toHaveLength(3);
    expect(losses[2]).toBeLessThan(losses[0] ?? 0);
  });
}

test("memory is flat over 160 small steps", async ({ browser }) => {
  const page = await openModule(browser);
  const rounds = await page.evaluate(async () => {
    const device = await window.minift.Device.open("gpu");
    const taken = await window.minift.takenByRounds(device, 40);
    return taken.map(({ heap, buffers, bufferBytes, poolBytes }) => ({ heap, buffers, bufferBytes, poolBytes }));
  });
  expect(rounds).toHaveLength(40);
  const [settled, last] = [rounds[15], rounds[39]];
  // Allocations are equal to the byte; the heap also holds burn's queues.
  expect(last?.buffers).toBe(settled?.buffers);
  expect(last?.bufferBytes).toBe(settled?.bufferBytes);
  expect(last?.heap).toBeLessThan(1.01 * (settled?.heap ?? 0));
  // The pool releases and reallocates pages, but does not grow.
  const max = (from: number, to: number) => Math.max(...rounds.slice(from, to).map(({ poolBytes }) => poolBytes));
  expect(max(26, 40)).toBeLessThan(1.1 * max(0, 26));
  await page.close();
});
