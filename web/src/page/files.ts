import type { TextRole } from "../package/index.js";

const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";
/** What a model folder must hold; in place of the weights it may have an index and the parts that it names. */
const NEEDED_MODEL_FILES = ["config.json", "tokenizer.json", WEIGHTS];
/** A part of weights, by how many there are. */
const PART = /^model-\d+-of-(\d+)\.safetensors$/;

/** Other files of a model folder that go with it. */
const COMPANIONS = new Set([
  "generation_config.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "tokenizer.model",
  "chat_template.jinja",
  "license",
]);

/** Names of texts; what a folder says about itself is none. */
const TEXT = /^(?!readme\.).*\.(txt|md|jsonl|ndjson|csv|tsv)(\.(gz|zst))?$/;
/** Endings of texts, for a dialogue that asks for one. */
export const TEXT_ENDINGS = ".txt,.md,.jsonl,.ndjson,.csv,.tsv,.gz,.zst";

/** What was dropped or picked, by what it is for. */
export interface Recognised {
  model: File[];
  /** Weights in a form that is not read, such as a pickle. */
  otherWeights: string[];
  texts: File[];
  unknown: string[];
}

/** Sorts files by what they are. */
export function recognise(files: File[]): Recognised {
  const found: Recognised = { model: [], otherWeights: [], texts: [], unknown: [] };
  for (const file of files) {
    const name = file.name.toLowerCase();
    if (name.startsWith(".")) continue;
    if (NEEDED_MODEL_FILES.includes(name) || COMPANIONS.has(name) || name === INDEX || PART.test(name)) {
      found.model.push(file);
    } else if (/\.(safetensors|bin|pt|pth|gguf|onnx|h5|msgpack|index\.json)$/.test(name)) {
      found.otherWeights.push(file.name);
    } else if (TEXT.test(name)) {
      found.texts.push(file);
    } else {
      found.unknown.push(file.name);
    }
  }
  return found;
}

/** Files of a model so far with newer ones, which replace those of the same name. */
export function mergeFiles(before: File[], added: File[]): File[] {
  const names = new Set(added.map(({ name }) => name));
  return [...before.filter(({ name }) => !names.has(name)), ...added];
}

/** The needed model files that are not there yet. */
export function missingFiles(files: File[]): string[] {
  const names = new Set(files.map(({ name }) => name));
  const missing = NEEDED_MODEL_FILES.filter((needed) => !names.has(needed));
  const parts = [...names].filter((name) => PART.test(name));
  if (names.has(WEIGHTS) || (parts.length === 0 && !names.has(INDEX))) return missing;
  const inParts = missing.filter((name) => name !== WEIGHTS);
  if (!names.has(INDEX)) inParts.push(INDEX);
  const total = Number(PART.exec(parts[0] ?? "")?.[1]);
  if (parts.length === 0) inParts.push("the parts of the weights");
  else if (parts.length < total) inParts.push(`${total - parts.length} of the ${total} parts of the weights`);
  return inParts;
}

/** What a text is for, as far as its name tells. */
export function guessRole(name: string): TextRole {
  if (/general|retain|replay/i.test(name)) return "general";
  if (/held|test|valid|eval|dev\b/i.test(name)) return "held-out";
  return "domain";
}

/** Names of the folders that dropped files came from. */
const folders = new WeakMap<File, string>();

/** The folder that files came from, where the browser tells. */
export function folderName(files: File[]): string | null {
  const names = files.map((file) => folders.get(file) ?? file.webkitRelativePath.split("/").at(-2));
  return names.find(Boolean) ?? null;
}

/** The files of a drop, with those of dropped folders, one level deep. */
export async function droppedFiles(transfer: DataTransfer): Promise<File[]> {
  // Entries have to be taken at once: after the first await the browser has emptied the list.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  if (entries.every((entry) => entry === null)) return [...transfer.files];
  const files: File[] = [];
  for (const entry of entries) {
    if (!entry) continue;
    if (entry.isFile) files.push(await toFile(entry as FileSystemFileEntry));
    else files.push(...(await folderFiles(entry as FileSystemDirectoryEntry)));
  }
  return files;
}

/** The files of a picked folder without those of its subfolders. */
export function topLevel(files: File[]): File[] {
  return files.filter(({ webkitRelativePath: path }) => path.split("/").length <= 2);
}

function toFile(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

async function folderFiles(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const files: File[] = [];
  // A reader gives at most a hundred entries at a time, and none at the end.
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (entries.length === 0) return files;
    for (const entry of entries) {
      if (!entry.isFile) continue;
      const file = await toFile(entry as FileSystemFileEntry);
      folders.set(file, folder.name);
      files.push(file);
    }
  }
}
