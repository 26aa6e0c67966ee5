import { failure } from "./errors.js";
import type { Job } from "./protocol.js";

/** Where jobs are kept: the origin's private file system, which other pages cannot see. */
const FOLDER = "minift-jobs";
const RECORD = "job.json";
const READ_ATTEMPTS = 5;
const READ_INTERVAL = 20;

async function jobsFolder(): Promise<FileSystemDirectoryHandle> {
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle(FOLDER, { create: true });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw failure(
      "NoStorage",
      `this window keeps no files for pages, as some private windows do: open the page in an ordinary one (${reason})`,
    );
  }
}

/** What a failed write is to be told as. */
function refusal(error: unknown): unknown {
  const full = error instanceof DOMException && error.name === "QuotaExceededError";
  if (!full) return error;
  return failure(
    "StorageFull",
    "the browser's storage is full: delete runs that are no longer needed, or make room on the disk",
  );
}

function isMissing(error: unknown): boolean {
  return error instanceof DOMException && error.name === "NotFoundError";
}

/** The stored files of a job. */
export class JobFolder {
  readonly #handle: FileSystemDirectoryHandle;

  private constructor(handle: FileSystemDirectoryHandle) {
    this.#handle = handle;
  }

  static async create(id: string): Promise<JobFolder> {
    return new JobFolder(await (await jobsFolder()).getDirectoryHandle(id, { create: true }));
  }

  static async open(id: string): Promise<JobFolder> {
    return new JobFolder(await (await jobsFolder()).getDirectoryHandle(id));
  }

  static async remove(id: string): Promise<void> {
    await (await jobsFolder()).removeEntry(id, { recursive: true });
  }

  /** The ids of all jobs, with or without a record. */
  static async ids(): Promise<string[]> {
    return Array.fromAsync((await jobsFolder()).keys());
  }

  /** The records of all jobs, the newest first. */
  static async list(): Promise<Job[]> {
    const jobs: Job[] = [];
    for (const id of await JobFolder.ids()) {
      const job = await (await JobFolder.open(id)).readRecord();
      if (job?.id === id) jobs.push(job);
    }
    return jobs.sort((a, b) => b.created - a.created);
  }

  async writeRecord(job: Job): Promise<void> {
    await this.write(RECORD, JSON.stringify(job));
  }

  async readRecord(): Promise<Job | null> {
    for (let attempt = 1; attempt <= READ_ATTEMPTS; attempt++) {
      try {
        const text = await (await this.read(RECORD))?.text();
        if (text) return JSON.parse(text) as Job;
      } catch {
        // Tried again, as where there is nothing.
      }
      // While a running job replaces its record, nobody can read it for a moment.
      await new Promise((resolve) => setTimeout(resolve, READ_INTERVAL));
    }
    return null;
  }

  /** Writes a file; readers see the old one until the new one is whole. */
  async write(path: string, content: Blob | Uint8Array | string): Promise<void> {
    let writable: FileSystemWritableFileStream | null = null;
    try {
      const { folder, name } = await this.#resolve(path, true);
      const file = await folder.getFileHandle(name, { create: true });
      writable = await file.createWritable();
      await writable.write(content as FileSystemWriteChunkType);
      await writable.close();
    } catch (error) {
      await writable?.abort().catch(() => undefined);
      throw refusal(error);
    }
  }

  /** A file, or null if there is none. */
  async read(path: string): Promise<File | null> {
    try {
      const { folder, name } = await this.#resolve(path, false);
      return await (await folder.getFileHandle(name)).getFile();
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  /** The files of a subfolder; none if it is not there. */
  async readAll(path: string): Promise<File[]> {
    const files: File[] = [];
    try {
      const folder = await this.#subfolder(path.split("/"), false);
      for await (const handle of folder.values()) {
        if (handle.kind === "file") files.push(await (handle as FileSystemFileHandle).getFile());
      }
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    return files;
  }

  async remove(path: string): Promise<void> {
    try {
      const { folder, name } = await this.#resolve(path, false);
      await folder.removeEntry(name, { recursive: true });
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  /** Bytes of all its files. */
  async size(): Promise<number> {
    const sizeOf = async (folder: FileSystemDirectoryHandle): Promise<number> => {
      let bytes = 0;
      for await (const handle of folder.values()) {
        bytes +=
          handle.kind === "file"
            ? (await (handle as FileSystemFileHandle).getFile()).size
            : await sizeOf(handle as FileSystemDirectoryHandle);
      }
      return bytes;
    };
    return sizeOf(this.#handle);
  }

  async #resolve(
    path: string,
    create: boolean,
  ): Promise<{ folder: FileSystemDirectoryHandle; name: string }> {
    const parts = path.split("/");
    const name = parts.pop() ?? "";
    return { folder: await this.#subfolder(parts, create), name };
  }

  async #subfolder(parts: string[], create: boolean): Promise<FileSystemDirectoryHandle> {
    let folder = this.#handle;
    for (const part of parts) folder = await folder.getDirectoryHandle(part, { create });
    return folder;
  }
}
