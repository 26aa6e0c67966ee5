import type { Device } from "../../wasm/minift.js";
import type { GgufFiles, GgufType, Job, Method } from "./protocol.js";
import { trainedModel } from "./runner.js";
import type { JobFolder } from "./storage.js";

/** Returns the model of a finished training in GGUF, with the `Modelfile` with which Ollama imports it. */
export async function toGguf(
  job: Job,
  folder: JobFolder,
  device: Device,
  method: Method,
  kind: GgufType,
): Promise<GgufFiles> {
  const base = job.model.name.replace(/\.gguf$/i, "");
  const name = `${base}-${method}`;
  const fileName = `${name}-${kind}.gguf`;
  const model = await trainedModel(job, folder, device, method);
  try {
    const written = await model.toGguf(kind, { name, base, data: job.texts.domain, method });
    try {
      const files = [new File(written.parts, fileName), new File([model.modelfile(fileName)], "Modelfile")];
      return { files, notes: written.notes };
    } finally {
      written.free();
    }
  } finally {
    model.free();
  }
}
