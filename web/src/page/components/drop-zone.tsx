import "./drop-zone.css";
import { useEffect, useState } from "preact/hooks";
import type { TextRole } from "../../package/index.js";
import { droppedFiles } from "../files.js";

const ROLES: readonly TextRole[] = ["domain", "held-out", "general", "replay"];

interface Props {
  disabled: boolean;
  onFiles(files: File[], role: TextRole | null): void;
}

/** Accepts drops on the whole page; a text dropped on a role's row gets that role. */
export function DropZone({ disabled, onFiles }: Props) {
  const [over, setOver] = useState(false);
  useEffect(() => {
    if (disabled) return;
    const isFiles = (event: DragEvent): boolean => !!event.dataTransfer?.types.includes("Files");
    const enter = (event: DragEvent): void => {
      if (!isFiles(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent): void => {
      // Leaving for another element of the page sets relatedTarget.
      if (!event.relatedTarget) setOver(false);
    };
    const drop = (event: DragEvent): void => {
      if (!event.dataTransfer || !isFiles(event)) return;
      event.preventDefault();
      setOver(false);
      const place = event.target instanceof Element ? event.target.closest("[data-drop]") : null;
      const role = place?.getAttribute("data-drop");
      const text = ROLES.find((known) => known === role) ?? null;
      void droppedFiles(event.dataTransfer).then((files) => onFiles(files, text));
    };
    window.addEventListener("dragenter", enter);
    window.addEventListener("dragover", enter);
    window.addEventListener("dragleave", leave);
    window.addEventListener("drop", drop);
    return () => {
      window.removeEventListener("dragenter", enter);
      window.removeEventListener("dragover", enter);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("drop", drop);
    };
  }, [disabled, onFiles]);
  return over ? (
    <div class="dropping" aria-hidden="true">
      <p>Drop a model folder or texts</p>
    </div>
  ) : null;
}
