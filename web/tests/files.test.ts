import assert from "node:assert/strict";
import { test } from "node:test";

import { describeWeights, folderName, mergeFiles, missingFiles, sortFiles } from "../src/page/files.js";

const files = (...names: string[]): File[] => names.map((name) => new File([], name));
const names = (list: File[]): string[] => list.map(({ name }) => name);

test("a model in GGUF is one file", () => {
  const found = sortFiles(files("SmolLM2.Q4_1.GGUF", "notes.txt", "model.pt"));
  assert.deepEqual(names(found.model), ["SmolLM2.Q4_1.GGUF"]);
  assert.deepEqual(names(found.texts), ["notes.txt"]);
  assert.deepEqual(found.otherWeights, ["model.pt"]);
  assert.deepEqual(missingFiles(found.model), []);
  assert.equal(folderName(found.model), "SmolLM2.Q4_1.GGUF");
});

test("the parts of a split model are complete together", () => {
  const part = (number: number): File[] => files(`m-0000${number}-of-00003.gguf`);
  assert.deepEqual(missingFiles(part(1)), ["2 of the 3 parts of the model"]);
  const two = mergeFiles(part(1), part(2));
  assert.deepEqual(missingFiles(two), ["1 of the 3 parts of the model"]);
  assert.deepEqual(missingFiles(mergeFiles(two, part(3))), []);
});

test("a model in GGUF replaces the files of another model", () => {
  const merged = mergeFiles(files("config.json", "other.gguf"), files("new.gguf"));
  assert.deepEqual(names(merged), ["new.gguf"]);
});

test("without any known file, the content tells what an unknown file is", () => {
  assert.deepEqual(names(sortFiles(files("notes.pdf", ".DS_Store")).texts), ["notes.pdf"]);
  assert.deepEqual(names(sortFiles(files("data.json")).texts), ["data.json"]);
  const folder = sortFiles(files("config.json", "model.safetensors", "data.json", "README.md", "image.png"));
  assert.deepEqual(folder.texts, []);
  assert.deepEqual(folder.unknown, ["data.json", "README.md", "image.png"]);
  assert.deepEqual(names(sortFiles(files("a.parquet", "notes.pdf")).texts), ["a.parquet"]);
});

test("unsupported weights are described", () => {
  assert.match(describeWeights("adapter_model.safetensors"), /merge it into its model/);
  assert.match(describeWeights("weights.safetensors"), /expected model\.safetensors/);
  assert.match(describeWeights("pytorch_model.bin"), /must be safetensors or GGUF/);
});

test("a folder is complete with its three files", () => {
  assert.deepEqual(missingFiles(files("config.json", "model.safetensors")), ["tokenizer.json"]);
  const withVocabulary = files("config.json", "model.safetensors", "vocab.json", "merges.txt");
  assert.deepEqual(missingFiles(withVocabulary), []);
});
