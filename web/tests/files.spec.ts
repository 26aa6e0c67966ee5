import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Page } from "./page.js";
import { expect, finished, open, report, SMALL, test } from "./page.js";

const MODEL = "../assets/minift-tales-360k";
const CPU = `device=cpu&${SMALL}`;
const MODEL_FILES = 'input[type=file][aria-label="Choose files of a model"]';
const MODEL_FOLDER = 'input[type=file][aria-label="Choose folder of a model"]';
const DOMAIN_TEXT = 'input[type=file][aria-label="Choose domain text"]';

interface Bytes {
  name: string;
  mimeType: string;
  buffer: Buffer;
}

function bytes(name: string, content: string | Buffer): Bytes {
  return { name, mimeType: "application/octet-stream", buffer: Buffer.from(content) };
}

const config = readFileSync(join(MODEL, "config.json"), "utf8");
const weights = bytes("model.safetensors", readFileSync(join(MODEL, "model.safetensors")));
const tokenizer = bytes("tokenizer.json", readFileSync(join(MODEL, "tokenizer.json")));
const goodConfig = bytes("config.json", config);

/** Returns the model's configuration with other values. */
function configWith(values: object): Bytes {
  return bytes("config.json", JSON.stringify({ ...JSON.parse(config), ...values }));
}

/** Returns a text of twenty samples. */
function ownText(name = "own-diary.txt"): Bytes {
  const samples = Array.from(
    { length: 20 },
    (_, day) => `Day ${day + 1}: the boat left harbour ${day % 4} at dawn.\nIt came back with ${day + 3} fish.`,
  );
  return bytes(name, samples.join("\n\n"));
}

/** Opens the page and waits until everything is loaded and measured. */
async function ready(page: Page): Promise<void> {
  await open(page, CPU);
  await expect(page.getByTestId("device")).toContainText("CPU");
  await expect(page.getByTestId("plan")).toContainText("Measured on this device", { timeout: 60_000 });
  await expectEmbedded(page);
}

function startButton(page: Page) {
  return page.getByRole("button", { name: "Start", exact: true });
}

/** Expects the embedded model and text, and an enabled start button. */
async function expectEmbedded(page: Page): Promise<void> {
  await expect(page.getByTestId("model")).toContainText("361,280 parameters");
  await expect(page.getByTestId("model")).toContainText("built in");
  await expect(page.getByTestId("text-domain")).toContainText("bicycle workshop tickets");
  await expect(startButton(page)).toBeEnabled();
}

/** Drops files on an element. */
async function drop(page: Page, target: string, files: Bytes[]): Promise<void> {
  const given = files.map(({ name, buffer }) => ({ name, base64: buffer.toString("base64") }));
  const dataTransfer = await page.evaluateHandle((given) => {
    const transfer = new DataTransfer();
    for (const { name, base64 } of given) {
      const content = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      transfer.items.add(new File([content], name));
    }
    return transfer;
  }, given);
  await page.dispatchEvent(target, "dragenter", { dataTransfer });
  await expect(page.locator(".dropping")).toBeVisible();
  await page.dispatchEvent(target, "drop", { dataTransfer });
  await expect(page.locator(".dropping")).toHaveCount(0);
}

test("a run uses a dropped model and text", async ({ page }) => {
  await ready(page);
  await drop(page, '[data-drop="model"]', [goodConfig, weights, tokenizer]);
  await expect(page.getByTestId("model")).toContainText("your model");
  await expect(page.getByTestId("model")).toContainText("361,280 parameters");
  await drop(page, '[data-drop="domain"]', [ownText()]);
  await expect(page.getByTestId("text-domain")).toContainText("own-diary.txt");
  await expect(page.getByTestId("text-domain")).toContainText("20 texts");
  await expect(page.getByTestId("text-domain")).toContainText("Day 1: the boat left harbour 0");
  await expect(page.getByRole("alert")).toHaveCount(0);

  await startButton(page).click();
  await finished(page);
  const { setup } = await report(page);
  expect(setup.train).toMatchObject({ origin: "own-diary.txt", samples: 18 });
  expect(setup.domain).toMatchObject({ origin: "own-diary.txt", samples: 2 });
});

test("a text gets the role of the row it is dropped on", async ({ page }) => {
  await ready(page);
  await drop(page, '[data-drop="held-out"]', [ownText()]);
  await expect(page.getByTestId("text-held-out")).toContainText("own-diary.txt");
  await drop(page, '[data-drop="general"]', [ownText("other.txt")]);
  await expect(page.getByTestId("text-general")).toContainText("other.txt");
  await expectEmbedded(page);
  await page.getByRole("button", { name: "Remove (held out)" }).click();
  await page.getByRole("button", { name: "Use the built-in text (general)" }).click();
  await expect(page.getByTestId("text-held-out")).toContainText("Last part of the domain text");
  await expect(page.getByTestId("text-general")).toContainText("tiny stories");
});

test("a model and a text can be dropped together", async ({ page }) => {
  await ready(page);
  await drop(page, "body", [goodConfig, weights, tokenizer, ownText()]);
  await expect(page.getByTestId("model")).toContainText("your model");
  await expect(page.getByTestId("text-domain")).toContainText("own-diary.txt");
});

test("model files are added one by one, and missing files are listed", async ({ page }) => {
  await ready(page);
  const files = page.getByTestId("model-files");
  await page.locator(MODEL_FILES).setInputFiles(join(MODEL, "config.json"));
  await expect(files).toContainText("still missing: tokenizer.json, model.safetensors.");
  await expectEmbedded(page);
  await page.getByRole("button", { name: "Discard" }).click();
  await expect(files).toHaveCount(0);

  await page.locator(MODEL_FILES).setInputFiles(join(MODEL, "model.safetensors"));
  await expect(files).toContainText("still missing: config.json, tokenizer.json.");
  await page.locator(MODEL_FILES).setInputFiles(join(MODEL, "config.json"));
  await expect(files).toContainText("still missing: tokenizer.json.");
  await expectEmbedded(page);
  await page.locator(MODEL_FILES).setInputFiles(join(MODEL, "tokenizer.json"));
  await expect(page.getByTestId("model")).toContainText("your model");
  await expect(files).toHaveCount(0);
  await expect(startButton(page)).toBeEnabled();

  await page.getByRole("button", { name: "Use the built-in model" }).click();
  await expectEmbedded(page);
});

test("a model folder can be chosen", async ({ page }) => {
  await ready(page);
  await page.locator(MODEL_FOLDER).setInputFiles(MODEL);
  await expect(page.getByTestId("model")).toContainText("your model");
  await expect(page.getByRole("alert")).toHaveCount(0);
  await expect(startButton(page)).toBeEnabled();
});

test("a model folder can be dropped natively", async ({ page }) => {
  await ready(page);
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files: [resolve(MODEL)], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"] as const) {
    await session.send("Input.dispatchDragEvent", { type, x: 640, y: 300, data });
  }
  await expect(page.getByTestId("model")).toContainText("your model");
  await expect(page.getByTestId("model")).toContainText("minift-tales-360k");
  await expect(page.getByRole("alert")).toHaveCount(0);
  await expect(startButton(page)).toBeEnabled();
});

test("a run that does not fit into memory cannot start", async ({ page }) => {
  await open(page, "device=cpu&batch=1024&length=256&samples=500&eval=8");
  await expect(page.getByRole("alert")).toHaveText(
    /Training takes about \d+ MiB, but the CPU has at most 2560 MiB here: use smaller batches/,
    {
      timeout: 60_000,
    },
  );
  await expect(startButton(page)).toBeDisabled();
  const advice = page.getByTestId("advice").getByRole("button");
  await expect(advice).toHaveText(/^Use /);
  await advice.click();
  await expect(page.getByRole("alert")).toHaveCount(0);
  await expect(page.getByTestId("advice")).toHaveCount(0);
  await expect(startButton(page)).toBeEnabled();
});

/** Invalid files and their error messages. */
const INVALID: { what: string; input: string; files: Bytes[]; says: RegExp }[] = [
  {
    what: ".jsonl with a line that is not JSON",
    input: DOMAIN_TEXT,
    files: [bytes("bad.jsonl", '{"text": "a good line"}\n{"text": "cut\n')],
    says: /bad\.jsonl:2: invalid JSON/,
  },
  {
    what: ".jsonl without “text”",
    input: DOMAIN_TEXT,
    files: [bytes("bad.jsonl", '{"text": "one"}\n{"text": "two"}\n{"body": "three"}\n')],
    says: /bad\.jsonl:3: no "text" \(found "body"\)/,
  },
  {
    what: ".txt that is not UTF-8",
    input: DOMAIN_TEXT,
    files: [bytes("latin.txt", Buffer.from("one\n\ncaf\xe9 two\n", "latin1"))],
    says: /latin\.txt:3: byte 9 of the file is not UTF-8/,
  },
  {
    what: "empty .txt",
    input: DOMAIN_TEXT,
    files: [bytes("empty.txt", "")],
    says: /no usable sample in empty\.txt/i,
  },
  {
    what: ".txt of nothing but blank lines",
    input: DOMAIN_TEXT,
    files: [bytes("blank.txt", "\n\n  \n")],
    says: /no usable sample in blank\.txt/i,
  },
  {
    what: "text with an unknown ending",
    input: DOMAIN_TEXT,
    files: [bytes("notes.odt", "notes")],
    says: /notes\.odt: unsupported file format; supported: \.txt, \.md, \.jsonl/,
  },
  {
    what: "PDF as text",
    input: DOMAIN_TEXT,
    files: [bytes("notes.pdf", "%PDF-1.7")],
    says: /notes\.pdf: a PDF: convert it to text/,
  },
  {
    what: "model of an unknown ending",
    input: MODEL_FILES,
    files: [bytes("notes.pdf", "%PDF-1.7")],
    says: /No model files found: a \.gguf file, or config\.json, tokenizer\.json and model\.safetensors are required/,
  },
  {
    what: "config.json that is not JSON",
    input: MODEL_FILES,
    files: [bytes("config.json", "{ not json"), weights, tokenizer],
    says: /config\.json: not a JSON object/,
  },
  {
    what: "unsupported architecture",
    input: MODEL_FILES,
    files: [configWith({ architectures: ["MambaForCausalLM"], model_type: "mamba" }), weights, tokenizer],
    says: /unsupported architecture MambaForCausalLM; supported: .*LlamaForCausalLM/i,
  },
  {
    what: "unsupported architecture, alone",
    input: MODEL_FILES,
    files: [configWith({ architectures: ["MambaForCausalLM"], model_type: "mamba" })],
    says: /unsupported architecture MambaForCausalLM; supported: .*LlamaForCausalLM/i,
  },
  {
    what: "truncated model.safetensors, alone",
    input: MODEL_FILES,
    files: [{ ...weights, buffer: weights.buffer.subarray(0, 500_000) }],
    says: /model\.safetensors: not a complete safetensors file/,
  },
  {
    what: "tokenizer.json that is not a tokenizer, alone",
    input: MODEL_FILES,
    files: [bytes("tokenizer.json", '{"hello": 1}')],
    says: /tokenizer\.json: not a tokenizer\.json/,
  },
  {
    what: "truncated model.safetensors",
    input: MODEL_FILES,
    files: [goodConfig, { ...weights, buffer: weights.buffer.subarray(0, 500_000) }, tokenizer],
    says: /model\.safetensors: not a complete safetensors file/,
  },
  {
    what: "empty model.safetensors",
    input: MODEL_FILES,
    files: [goodConfig, bytes("model.safetensors", ""), tokenizer],
    says: /model\.safetensors: not a complete safetensors file/,
  },
  {
    what: "tensors that do not fit config.json",
    input: MODEL_FILES,
    files: [configWith({ intermediate_size: 128 }), weights, tokenizer],
    says: /model\.safetensors: tensor \S*mlp\S* has shape \[.*192.*\], expected \[.*128.*\] from config\.json/,
  },
  {
    what: "no tokenizer.json",
    input: MODEL_FILES,
    files: [goodConfig, weights],
    says: /tokenizer\.json/,
  },
  {
    what: "tokenizer.json that is not a tokenizer",
    input: MODEL_FILES,
    files: [goodConfig, weights, bytes("tokenizer.json", '{"hello": 1}')],
    says: /tokenizer\.json: not a tokenizer\.json/,
  },
  {
    what: "index of no parts",
    input: MODEL_FILES,
    files: [bytes("model.safetensors.index.json", '{"weight_map": {}}')],
    says: /model\.safetensors\.index\.json: weight_map names no file/,
  },
  {
    what: "index that leads out of the folder",
    input: MODEL_FILES,
    files: [bytes("model.safetensors.index.json", '{"weight_map": {"a": "../b.safetensors"}}')],
    says: /model\.safetensors\.index\.json: weight_map names "\.\.\/b\.safetensors"/,
  },
  {
    what: "index without its parts",
    input: MODEL_FILES,
    files: [
      goodConfig,
      tokenizer,
      bytes("model.safetensors.index.json", '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'),
    ],
    says: /still missing: the shards of the weights/,
  },
  {
    what: "weights of another kind",
    input: MODEL_FILES,
    files: [goodConfig, tokenizer, bytes("pytorch_model.bin", "PK")],
    says: /pytorch_model\.bin is not supported: weights must be safetensors/,
  },
];

for (const [kind, input] of [
  ["text", DOMAIN_TEXT],
  ["model file", MODEL_FILES],
] as const) {
  test(`an invalid ${kind} is reported and the previous one is kept`, async ({ page }) => {
    await ready(page);
    for (const { what, files, says } of INVALID.filter((invalid) => invalid.input === input)) {
      await test.step(what, async () => {
        await page.locator(input).setInputFiles(files);
        await expect(page.getByRole("alert")).toHaveText(says, { timeout: 10_000 });
        await expectEmbedded(page);
        const discard = page.getByRole("button", { name: "Discard" });
        if (await discard.isVisible()) await discard.click();
      });
    }
  });
}

test("an unsupported dropped file is reported", async ({ page }) => {
  await ready(page);
  await drop(page, "body", [bytes("notes.pdf", "%PDF-1.7")]);
  await expect(page.getByRole("alert")).toHaveText(/notes\.pdf: a PDF: convert it to text/);
  await expectEmbedded(page);
  await drop(page, "body", [bytes("adapter_model.safetensors", "")]);
  await expect(page.getByTestId("model-error")).toHaveText(/adapter_model\.safetensors is an adapter: merge it/);
});

test("a single sample requires a held-out text", async ({ page }) => {
  await ready(page);
  await page.locator(DOMAIN_TEXT).setInputFiles([bytes("one.txt", "All of this is a single sample.")]);
  const alert = page.getByRole("alert");
  await expect(alert).toHaveText(/the domain text has one sample; at least two are required/i);
  await expect(startButton(page)).toBeDisabled();
  // With a held-out text, one sample is enough.
  await page.locator('input[type=file][aria-label="Choose held out text"]').setInputFiles([ownText()]);
  await expect(alert).toHaveCount(0);
  await expect(startButton(page)).toBeEnabled();
  await page.getByRole("button", { name: "Remove (held out)" }).click();
  await expect(alert).toHaveText(/at least two are required/);
  await page.getByRole("button", { name: "Use the built-in text (domain)" }).click();
  await expect(alert).toHaveCount(0);
  await expectEmbedded(page);
});

test("a run after invalid files uses the previous inputs", async ({ page }) => {
  await ready(page);
  await page.locator(MODEL_FILES).setInputFiles([bytes("config.json", "{"), weights, tokenizer]);
  await expect(page.getByTestId("model-error")).toContainText("config.json");
  await page.locator(DOMAIN_TEXT).setInputFiles([bytes("bad.jsonl", "nonsense")]);
  await expect(page.getByTestId("text-domain-error")).toContainText("bad.jsonl:1");
  await expectEmbedded(page);
  await startButton(page).click();
  await finished(page);
  const { setup } = await report(page);
  expect(setup.train).toMatchObject({ origin: "tickets of a bicycle workshop (embedded)", samples: 24 });
});

test("sharded weights load once all shards are added", async ({ page }) => {
  await ready(page);
  const folder = "../tests/data/tiny/llama_bf16_sharded";
  const file = (name: string) => bytes(name, readFileSync(join(folder, name)));
  const part = (number: number) => file(`model-0000${number}-of-00004.safetensors`);
  await page.locator(MODEL_FILES).setInputFiles([file("config.json"), file("model.safetensors.index.json"), part(1)]);
  await expect(page.getByTestId("model-files")).toContainText("3 of the 4 shards of the weights");
  // A tokenizer with no more tokens than the model's vocabulary.
  const vocabulary = {
    model: { type: "WordLevel", vocab: { a: 0, Day: 1, boat: 2 }, unk_token: "a" },
    pre_tokenizer: { type: "Whitespace" },
  };
  const nothing = { normalizer: null, post_processor: null, decoder: null, truncation: null, padding: null };
  const words = bytes(
    "tokenizer.json",
    JSON.stringify({ version: "1.0", added_tokens: [], ...nothing, ...vocabulary }),
  );
  await page.locator(MODEL_FILES).setInputFiles([part(2), part(3), part(4), words]);
  await expect(page.getByTestId("model")).toContainText("your model");
  await expect(page.getByTestId("model")).toContainText("Llama");
});

test("an invalid model file can be replaced alone", async ({ page }) => {
  await ready(page);
  await page.locator(MODEL_FILES).setInputFiles([bytes("config.json", "{"), weights, tokenizer]);
  await expect(page.getByRole("alert")).toContainText("config.json: not a JSON object");
  await page.locator(MODEL_FILES).setInputFiles([goodConfig]);
  await expect(page.getByTestId("model")).toContainText("your model");
  await expect(page.getByRole("alert")).toHaveCount(0);
});

test("a setting out of range disables Start", async ({ page }) => {
  await ready(page);
  const tau = page.getByLabel("Margin τ");
  const before = await tau.inputValue();
  await tau.fill("2");
  await expect(page.getByRole("alert")).toHaveText("The maximum is 1.");
  await expect(page.getByTestId("plan")).toContainText("A setting is invalid");
  await expect(tau).toHaveAttribute("aria-invalid", "true");
  await expect(startButton(page)).toBeDisabled();
  await tau.fill(before);
  await expect(page.getByRole("alert")).toHaveCount(0);
  await expect(startButton(page)).toBeEnabled();
});

test("invalid parameters of a link are reported", async ({ page }) => {
  await open(page, `device=tpu&${CPU}&tau=2&epochs=x&seed=1.5&adapter=qlora&method=lora&compare=yes&colour=red`);
  const notes = page.getByTestId("link-notes");
  await expect(notes.getByRole("listitem")).toHaveText([
    /“device=tpu” is ignored: expected auto, gpu or cpu/,
    /“tau=2” is ignored: the maximum is 1/i,
    /“epochs=x” is ignored: enter a number/i,
    /“seed=1\.5” is ignored: enter a whole number/i,
    /“adapter=qlora” is ignored: expected one of none, lora, dora, ia3/,
    /“method=lora” is ignored: expected one of mft, ft/,
    /“compare=yes” is ignored: expected 0, or some of mft, ft/,
    /“colour=red” is ignored: unknown setting/,
  ]);
  await expect(page.getByTestId("device")).toContainText("CPU");
  expect(Number(await page.getByLabel("Margin τ").inputValue())).toBeLessThanOrEqual(1);
  await expect(page.getByLabel("Epochs")).toHaveValue("3");
  await expect(startButton(page)).toBeEnabled();
  await notes.getByRole("button", { name: "Dismiss" }).click();
  await expect(notes).toHaveCount(0);
});
