import assert from "node:assert/strict";
import { test } from "node:test";
import { fetchFromHub, filesToLoad } from "../src/package/hub.js";

const HUB = "https://hub.test";

/** Answers requests from a table of addresses while `work` runs; returns the requested addresses. */
async function answering(table: Record<string, string>, work: () => Promise<void>): Promise<string[]> {
  const requested: string[] = [];
  const original = globalThis.fetch;
  globalThis.fetch = async (input) => {
    const url = String(input);
    requested.push(url);
    const body = table[url];
    return body === undefined
      ? new Response(null, { status: 404, statusText: "Not Found" })
      : new Response(body, { headers: { "content-length": String(body.length) } });
  };
  try {
    await work();
  } finally {
    globalThis.fetch = original;
  }
  return requested;
}

const listing = (...names: string[]): string => JSON.stringify({ siblings: names.map((rfilename) => ({ rfilename })) });

test("only the files of a model are loaded", () => {
  const names = [
    "README.md",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "pytorch_model.bin",
    "onnx/model.onnx",
  ];
  assert.deepEqual(filesToLoad(names), ["config.json", "tokenizer.json", "model.safetensors"]);
  const sharded = [
    "config.json",
    "model.safetensors.index.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
  ];
  assert.deepEqual(filesToLoad(sharded), sharded);
  assert.deepEqual(filesToLoad(["a.gguf", "README.md"]), ["a.gguf"]);
  assert.deepEqual(filesToLoad(["a.gguf", "b.gguf"]), []);
  assert.deepEqual(filesToLoad(["config.json", "../model.safetensors"]), []);
});

test("files are fetched from the origin, with progress", async () => {
  const progress: [number, number | null][] = [];
  const table = {
    [`${HUB}/api/models/a/b/revision/v1`]: listing("config.json", "model.safetensors"),
    [`${HUB}/a/b/resolve/v1/config.json`]: "{}",
    [`${HUB}/a/b/resolve/v1/model.safetensors`]: "weights",
  };
  const requested = await answering(table, async () => {
    const onProgress = (received: number, expected: number | null): void => void progress.push([received, expected]);
    const files = await fetchFromHub(HUB, "a/b", { revision: "v1", onProgress });
    assert.deepEqual(
      files.map(({ name }) => name),
      ["config.json", "model.safetensors"],
    );
    assert.equal(await files[1]?.text(), "weights");
  });
  assert.deepEqual(requested, Object.keys(table));
  assert.deepEqual(progress.at(-1), [9, 9]);
});

test("names that are none are never requested", async () => {
  for (const name of ["", "a", "a/b/c", "../b", "a/..", "a/b?c", "https://x/y", "a/.b"]) {
    const requested = await answering({}, async () => {
      await assert.rejects(fetchFromHub(HUB, name, {}), { kind: "InvalidSetting" }, name);
    });
    assert.deepEqual(requested, [], name);
  }
});

test("missing models and models without weights are errors", async () => {
  await answering({}, async () => {
    await assert.rejects(fetchFromHub(HUB, "a/b", {}), { kind: "Hub", message: /answers 404 Not Found/ });
  });
  await answering({ [`${HUB}/api/models/a/b/revision/main`]: listing("README.md") }, async () => {
    await assert.rejects(fetchFromHub(HUB, "a/b", {}), { kind: "Hub", message: /nothing to load/ });
  });
});
