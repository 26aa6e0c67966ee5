import { useRef, useState } from "preact/hooks";

/** A button that copies a link. */
export function CopyLink({ link }: { link(): string }) {
  const [text, setText] = useState<string | null>(null);
  const timer = useRef(0);
  const copy = async (): Promise<void> => {
    clearTimeout(timer.current);
    try {
      await navigator.clipboard.writeText(link());
      setText("Copied");
    } catch {
      setText("Copy it from the address bar");
    }
    timer.current = setTimeout(() => setText(null), 3000);
  };
  return (
    <button type="button" class="quiet" onClick={() => void copy()}>
      <span aria-live="polite">{text ?? "Copy link"}</span>
    </button>
  );
}
