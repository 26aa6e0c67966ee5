import { readFileSync } from "node:fs";
import { expect, test } from "@playwright/test";
import { transformSync } from "esbuild";

const examples = [...readFileSync("README.md", "utf8").matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = ""]) => code);
const [example = "", second = ""] = examples;

test("the README examples train in another page and use the result", async ({ page }) => {
  const logs: string[] = [];
  page.on("console", (message) => logs.push(message.text()));
  page.on("pageerror", (error) => logs.push(String(error)));
  await page.goto("http://localhost:8182/web/tests/package.html");
  // The example with a smaller job.
  const small = example.replace("samples: 200", "samples: 16, maxLength: 48, evaluationSamples: 4, evaluations: 1");
  expect(small).not.toBe(example);
  const models = () => logs.filter((line) => line.includes("config.json")).length;
  const both = page.waitForEvent("console", { predicate: () => models() === 2, timeout: 120_000 });
  await page.addScriptTag({ type: "module", content: transformSync(small, { loader: "ts" }).code });
  await both;
  // A job has ended when its lock is released.
  await page.waitForFunction(async () => {
    const { held = [] } = await navigator.locks.query();
    return !held.some(({ name }) => name?.startsWith("minift-job-"));
  });
  expect(logs[0]).toMatch(/^on CPU/);
  const [before, after] = logs
    .filter((line) => /^[\d.]+ [\d.]+$/.test(line))
    .map((line) => line.split(" ").map(Number));
  expect(before?.[0]).toBeGreaterThan(after?.[0] ?? Infinity);

  logs.length = 0;
  await page.addScriptTag({ type: "module", content: transformSync(second, { loader: "ts" }).code });
  await expect.poll(() => logs.some((line) => /^mft 0\.5/.test(line)), { timeout: 60_000 }).toBe(true);
  // A continuation, and pieces of both voices.
  await expect.poll(() => logs.filter((line) => /^[01] /.test(line)).length, { timeout: 60_000 }).toBeGreaterThan(4);
  expect(logs.some((line) => line.startsWith("0 ")) && logs.some((line) => line.startsWith("1 "))).toBe(true);
  expect(logs.filter((line) => line.includes("Error"))).toEqual([]);
});

/** Requests that no page can mean; each has to be answered. */
const ODD = [
  ...[0, 1, -1, 1.5, 3, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, 2 ** 32, 2 ** 53].map((maxLength) => ({
    maxLength,
  })),
  ...[0, -1, 0.5, Number.NaN].map((samples) => ({ samples })),
  ...[0, -1, 2 ** 40].map((batchSize) => ({ batchSize })),
  ...[0, -1].map((evaluationSamples) => ({ evaluationSamples })),
  ...[0, -1, 1000].map((evaluations) => ({ evaluations })),
  ...[0, -1, Number.NaN, 1e300].map((epochs) => ({ epochs })),
  ...[-1, 1.5, 2 ** 64].map((seed) => ({ seed })),
  ...[-1, 2, Number.NaN].map((tau) => ({ tau })),
  { prompt: "long ".repeat(10_000) },
];

test("odd settings and texts are answered with errors, and the worker lives on", async ({ page }) => {
  await page.goto("http://localhost:8182/web/tests/package.html");
  const kinds = await page.evaluate(async (odd) => {
    const { Client, defaultSettings } = (await import(
      "/web/package/index.js" as string
    )) as typeof import("../src/package/index.js");
    const client = new Client();
    let lost = "";
    client.onLost((message) => {
      lost = message;
    });
    await client.request({ type: "open", device: "cpu" });
    await client.request({ type: "loadModel", files: null });
    await client.request({ type: "loadText", role: "general", file: null });
    const small = { ...defaultSettings, samples: 4, evaluationSamples: 2, evaluations: 1, maxLength: 16, compare: [] };
    const kinds = new Map<string, number>();
    const tried = async (work: () => Promise<unknown>): Promise<void> => {
      const kind = await work().then(
        () => "ok",
        (error: unknown) => (error as { kind: string }).kind,
      );
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    };
    const domain = async (file: File | null): Promise<void> => {
      await tried(() => client.request({ type: "loadText", role: "domain", file }));
      await tried(() => client.request({ type: "plan", settings: small as never }));
      await tried(() => client.request({ type: "preview", role: "domain", maxLength: 16 }));
    };
    for (const text of ["", "a", " ", "\n\n", "\0", "x".repeat(1_000_000), "a\n\nb", "\u{10ffff}\u0301\n\n\ud800"]) {
      await domain(new File([text], "a.txt"));
    }
    await domain(new File([new Uint8Array([0x61, 0, 0x62, 0, 0x63, 0])], "utf16.txt"));
    await domain(null);
    for (const patch of odd) {
      const settings = { ...small, ...patch } as never;
      await tried(() => client.request({ type: "plan", settings }));
      await tried(() => client.request({ type: "measure", settings }));
      await tried(() =>
        client.request({ type: "preview", role: "domain", maxLength: (settings as typeof small).maxLength }),
      );
    }
    client.close();
    return { kinds: [...kinds], lost };
  }, ODD);
  expect(kinds.lost).toBe("");
  const names = kinds.kinds.map(([kind]) => kind);
  expect(names).toContain("InvalidSetting");
  expect(names).toContain("NoSamples");
  for (const kind of ["Crash", "Lost", "TypeError", "RangeError", "Unknown"]) expect(names).not.toContain(kind);
});

test("a model is fetched by its name only from the hub that the page names", async ({ page, context }) => {
  const requested: string[] = [];
  await context.route("https://hub.test/**", (route) => {
    const { pathname } = new URL(route.request().url());
    requested.push(pathname);
    const headers = { "access-control-allow-origin": "*" };
    if (pathname.startsWith("/api/")) {
      const names = ["README.md", "config.json", "model.safetensors", "tokenizer.json"];
      return route.fulfill({ json: { siblings: names.map((rfilename) => ({ rfilename })) }, headers });
    }
    return route.fulfill({ path: `../assets/minift-tales-360k/${pathname.split("/").at(-1)}`, headers });
  });
  await page.goto("http://localhost:8182/web/tests/package.html");
  const found = await page.evaluate(async () => {
    const { Client } = (await import("/web/package/index.js" as string)) as typeof import("../src/package/index.js");
    const without = new Client();
    const refused = await without.fetchModel("owner/tales").catch((error: unknown) => (error as { kind: string }).kind);
    without.close();
    const client = new Client({ hub: "https://hub.test" });
    const files = await client.fetchModel("owner/tales");
    await client.request({ type: "open", device: "cpu" });
    const model = await client.request({ type: "loadModel", files, name: "tales" });
    client.close();
    return { refused, names: files.map(({ name }) => name), parameters: model.parameters };
  });
  expect(found).toEqual({
    refused: "NoHub",
    names: ["config.json", "tokenizer.json", "model.safetensors"],
    parameters: 361_280,
  });
  expect(requested).toEqual([
    "/api/models/owner/tales/revision/main",
    "/owner/tales/resolve/main/config.json",
    "/owner/tales/resolve/main/tokenizer.json",
    "/owner/tales/resolve/main/model.safetensors",
  ]);
});
