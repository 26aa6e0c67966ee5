import { downloadZip } from "client-zip";

/** Saves a file through the browser's downloads. */
export function save(content: Blob, name: string): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The download has long read the blob by this time.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Packs files into a folder of a zip archive. */
export function zip(folder: string, files: File[]): Promise<Blob> {
  const entries = files.map((file) => ({
    name: `${folder}/${file.name}`,
    input: file,
    lastModified: new Date(),
  }));
  return downloadZip(entries).blob();
}
