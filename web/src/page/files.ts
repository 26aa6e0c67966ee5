import type { TextRole } from "../package/index.js";

const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const TOKENIZER = "tokenizer.json";
/** Required files of a model folder; an index and its shards may replace the single weights file. */
const REQUIRED_MODEL_FILES = ["config.json", TOKENIZER, WEIGHTS];
/** A whole model in GGUF, or a part of one; captures the number of parts. */
const GGUF = /\.gguf$/;
const GGUF_PART = /-\d{5}-of-(\d{5})\.gguf$/;
/** A shard of the weights; captures the number of shards. */
const SHARD = /^model-\d+-of-(\d+)\.safetensors$/;

/** Optional files of a model folder. */
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

/** File names of texts; a README is not one. */
const TEXT = /^(?!readme\.).*\.(txt|md|jsonl|ndjson|csv|tsv|parquet)(\.(gz|zst))?$/;
/** File extensions of texts, for the file dialog. */
export const TEXT_ENDINGS = ".txt,.md,.jsonl,.ndjson,.json,.csv,.tsv,.parquet,.gz,.zst";

/** Dropped or chosen files by purpose. */
export interface SortedFiles {
  model: File[];
  /** Weights in an unsupported format, such as a pickle. */
  otherWeights: string[];
  /** Texts; without any known file, all that are unknown: their content may show that they are texts. */
  texts: File[];
  unknown: string[];
}

/** Sorts files by purpose. */
export function sortFiles(files: File[]): SortedFiles {
  const found: SortedFiles = { model: [], otherWeights: [], texts: [], unknown: [] };
  const unknown: File[] = [];
  for (const file of files) {
    const name = file.name.toLowerCase();
    if (name.startsWith(".")) continue;
    const isWeights = name === INDEX || SHARD.test(name) || GGUF.test(name);
    if (isWeights || REQUIRED_MODEL_FILES.includes(name) || COMPANIONS.has(name)) {
      found.model.push(file);
    } else if (/\.(safetensors|bin|pt|pth|onnx|h5|msgpack|index\.json)$/.test(name)) {
      found.otherWeights.push(file.name);
    } else if (TEXT.test(name)) {
      found.texts.push(file);
    } else {
      unknown.push(file);
    }
  }
  const isKnown = found.model.length + found.otherWeights.length + found.texts.length > 0;
  if (isKnown) found.unknown = unknown.map(({ name }) => name);
  else found.texts = unknown;
  return found;
}

/** Describes weights in an unsupported format, with what to do. */
export function describeWeights(name: string): string {
  if (/^adapter_model\./i.test(name)) {
    return `${name} is an adapter: merge it into its model first, with minift merge.`;
  }
  if (name.endsWith(".safetensors")) {
    return `${name} is not named as the weights of a model: expected ${WEIGHTS}, or the shards that ${INDEX} names.`;
  }
  return `${name} is not supported: weights must be safetensors or GGUF.`;
}

/** Adds files, which replace earlier ones of the same name. A model in GGUF replaces all others. */
export function mergeFiles(before: File[], added: File[]): File[] {
  const inGguf = (files: File[]): File[] => files.filter(({ name }) => GGUF.test(name.toLowerCase()));
  const models = inGguf(added);
  if (models.length > 0) {
    const parts = inGguf(before).filter(({ name }) => GGUF_PART.test(name.toLowerCase()));
    const isPart = models.every(({ name }) => GGUF_PART.test(name.toLowerCase()));
    return replaced(isPart ? parts : [], models);
  }
  return replaced(before, added);
}

function replaced(before: File[], added: File[]): File[] {
  const names = new Set(added.map(({ name }) => name));
  return [...before.filter(({ name }) => !names.has(name)), ...added];
}

/** Returns the required model files that are still missing. */
export function missingFiles(files: File[]): string[] {
  const names = new Set(files.map(({ name }) => name));
  const models = [...names].filter((name) => GGUF.test(name.toLowerCase()));
  if (models.length > 0) {
    const total = Number(GGUF_PART.exec(models[0]?.toLowerCase() ?? "")?.[1] ?? 1);
    return models.length < total ? [`${total - models.length} of the ${total} parts of the model`] : [];
  }
  // A tokenizer.json is built from these two where there is none.
  const hasTokenizer = names.has("vocab.json") && names.has("merges.txt");
  const isMissing = (name: string): boolean => !names.has(name) && !(name === TOKENIZER && hasTokenizer);
  const missing = REQUIRED_MODEL_FILES.filter(isMissing);
  const shards = [...names].filter((name) => SHARD.test(name));
  if (names.has(WEIGHTS) || (shards.length === 0 && !names.has(INDEX))) return missing;
  const sharded = missing.filter((name) => name !== WEIGHTS);
  if (!names.has(INDEX)) sharded.push(INDEX);
  const total = Number(SHARD.exec(shards[0] ?? "")?.[1]);
  if (shards.length === 0) sharded.push("the shards of the weights");
  else if (shards.length < total) sharded.push(`${total - shards.length} of the ${total} shards of the weights`);
  return sharded;
}

/** Guesses the role of a text from its file name. */
export function guessRole(name: string): TextRole {
  if (/general|retain|replay/i.test(name)) return "general";
  if (/held|test|valid|eval|dev\b/i.test(name)) return "held-out";
  return "domain";
}

/** Folder names of dropped files. */
const folders = new WeakMap<File, string>();

/** Returns the name of the files' folder, where the browser reports it, or of a file in GGUF. */
export function folderName(files: File[]): string | null {
  const model = files.find(({ name }) => GGUF.test(name.toLowerCase()));
  if (model) return model.name;
  const names = files.map((file) => folders.get(file) ?? file.webkitRelativePath.split("/").at(-2));
  return names.find(Boolean) ?? null;
}

/** Returns the files of a drop, including those of dropped folders, one level deep. */
export async function droppedFiles(transfer: DataTransfer): Promise<File[]> {
  // Entries must be read before the first await: the browser clears the list afterwards.
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

/** Returns the files of a chosen folder without those of its subfolders. */
export function topLevel(files: File[]): File[] {
  return files.filter(({ webkitRelativePath: path }) => path.split("/").length <= 2);
}

function toFile(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

async function folderFiles(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const files: File[] = [];
  // A reader returns at most 100 entries at a time, and none at the end.
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return files;
    for (const entry of entries) {
      if (!entry.isFile) continue;
      const file = await toFile(entry as FileSystemFileEntry);
      folders.set(file, folder.name);
      files.push(file);
    }
  }
}
