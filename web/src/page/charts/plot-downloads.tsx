import { useState } from "preact/hooks";
import { save } from "../download.js";
import { toPng } from "./plot-image.js";

interface Props {
  /** File name without its extension. */
  name: string;
  title: string;
  /** Returns the plot as an SVG file. */
  image(): string;
}

/** Buttons that download a plot. */
export function PlotDownloads({ name, title, image }: Props) {
  const [error, setError] = useState<string | null>(null);
  const download = async (kind: "svg" | "png"): Promise<void> => {
    setError(null);
    try {
      const svg = image();
      save(kind === "svg" ? new Blob([svg], { type: "image/svg+xml" }) : await toPng(svg), `${name}.${kind}`);
    } catch (error) {
      setError(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <p class="plot-downloads">
      {(["svg", "png"] as const).map((kind) => (
        <button
          key={kind}
          type="button"
          class="link"
          aria-label={`Download ${kind.toUpperCase()}: ${title}`}
          onClick={() => void download(kind)}
        >
          {kind.toUpperCase()}
        </button>
      ))}
      {error && <span role="alert">{error}</span>}
    </p>
  );
}
