import { failure } from "./errors.js";
import type { Job } from "./protocol.js";

/** The folder of all jobs, in the origin private file system. */
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
      `the browser provides no storage in this window, as in some private windows: open the page in a regular window (${reason})`,
    );
  }
}

/** Converts an exceeded quota to an error with advice. */
function writeError(error: unknown): unknown {
  const full = error instanceof DOMException && error.name === "QuotaExceededError";
  if (!full) return error;
  return failure(
    "StorageFull",
    "the browser's storage is full: delete runs that are no longer needed, or free disk space",
  );
}

function isMissing(error: unknown): boolean {
  return error instanceof DOMException && error.name === "NotFoundError";
}

/** The folder of a stored job. */
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

  /** Returns the ids of all jobs, with or without a record. */
  static async ids(): Promise<string[]> {
    return Array.fromAsync((await jobsFolder()).keys());
  }

  /** Returns the records of all jobs, newest first. */
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
        // Retried below, like a missing record.
      }
      // While a running job replaces its record, it is briefly unreadable.
      await new Promise((resolve) => setTimeout(resolve, READ_INTERVAL));
    }
    return null;
  }

  /** Writes a file atomically. */
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
      throw writeError(error);
    }
  }

  /** Returns a file, or null if it does not exist. */
  async read(path: string): Promise<File | null> {
    try {
      const { folder, name } = await this.#resolve(path, false);
      return await (await folder.getFileHandle(name)).getFile();
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  /** Returns the files of a subfolder; none if it does not exist. */
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

  /** Returns the total size of all files, in bytes. */
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

  async #resolve(path: string, create: boolean): Promise<{ folder: FileSystemDirectoryHandle; name: string }> {
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
