import { failure } from "./errors.js";

/** The files of a model that are loaded, besides its weights. */
const FILES = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "vocab.json",
  "merges.txt",
];
const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** Options of fetching a model. */
export interface FetchOptions {
  /** Branch, tag or commit; `main` by default. */
  revision?: string;
  /** Ends the downloads. */
  signal?: AbortSignal;
  /** Called with the number of bytes received and expected; expected is null until it is known. */
  onProgress?: (received: number, expected: number | null) => void;
}

/** Whether a part of an address leads nowhere else. */
const isPart = (part: string): boolean => /^[\w-][\w.-]*$/.test(part);

/** Returns the names of the files to load of those that a model has. */
export function filesToLoad(names: readonly string[]): string[] {
  const weights = names.includes(WEIGHTS)
    ? [WEIGHTS]
    : names.filter((name) => name === INDEX || /^model-\d+-of-\d+\.safetensors$/.test(name));
  const ggufs = names.filter((name) => /^[\w.-]+\.gguf$/.test(name));
  if (weights.length === 0) return ggufs.length === 1 ? ggufs : [];
  return [...FILES.filter((name) => names.includes(name)), ...weights];
}

async function get(url: string, signal: AbortSignal | undefined): Promise<Response> {
  let response: Response;
  try {
    // Without cookies or a referrer: the hub learns the name of the model, and nothing of the page.
    response = await fetch(url, { credentials: "omit", referrerPolicy: "no-referrer", signal: signal ?? null });
  } catch (error) {
    if (signal?.aborted) throw failure("Aborted", "the download was ended");
    const reason = error instanceof Error ? error.message : String(error);
    throw failure("Hub", `cannot fetch ${url}: ${reason}. Does the page's Content-Security-Policy allow it?`);
  }
  if (!response.ok) throw failure("Hub", `${url} answers ${response.status} ${response.statusText}`.trim());
  return response;
}

/** Fetches the files of a model `OWNER/NAME` from a hub. */
export async function fetchFromHub(origin: string, model: string, options: FetchOptions): Promise<File[]> {
  const { revision = "main", signal, onProgress } = options;
  const parts = model.split("/");
  if (parts.length !== 2 || !parts.every(isPart) || !isPart(revision)) {
    throw failure("InvalidSetting", `“${model}” at “${revision}”: expected the name of a model, such as owner/name`);
  }
  const listing = await get(`${origin}/api/models/${model}/revision/${revision}`, signal);
  const { siblings } = (await listing.json()) as { siblings?: { rfilename?: unknown }[] };
  const names = (siblings ?? []).map(({ rfilename }) => rfilename).filter((name) => typeof name === "string");
  const wanted = filesToLoad(names);
  if (wanted.length === 0) {
    throw failure("Hub", `${model} has no ${WEIGHTS}, no ${INDEX} and not exactly one .gguf file: nothing to load`);
  }
  let received = 0;
  let expected: number | null = 0;
  const files: File[] = [];
  for (const name of wanted) {
    const response = await get(`${origin}/${model}/resolve/${revision}/${name}`, signal);
    const length = Number(response.headers.get("content-length"));
    expected = expected !== null && length > 0 ? expected + length : null;
    const counter = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        received += chunk.byteLength;
        onProgress?.(received, expected);
        controller.enqueue(chunk);
      },
    });
    const blob = await new Response(response.body?.pipeThrough(counter) ?? null).blob();
    files.push(new File([blob], name));
  }
  return files;
}
