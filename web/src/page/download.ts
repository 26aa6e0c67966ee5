import { downloadZip } from "client-zip";

/** Hands a file to the browser's downloads. */
export function save(content: Blob, name: string): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The download has taken what it needs long before.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Packs files into one folder of a zip archive. */
export function zip(folder: string, files: File[]): Promise<Blob> {
  const entries = files.map((file) => ({
    name: `${folder}/${file.name}`,
    input: file,
    lastModified: new Date(),
  }));
  return downloadZip(entries).blob();
}
