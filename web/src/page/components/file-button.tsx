import { useRef } from "preact/hooks";

interface Props {
  label: string;
  /** Accessible name, where the label alone is ambiguous. */
  name?: string;
  accept?: string;
  multiple?: boolean;
  folder?: boolean;
  disabled?: boolean;
  onFiles(files: File[]): void;
}

/** A button that opens a file dialog. */
export function FileButton({ label, name, accept, multiple, folder, disabled, onFiles }: Props) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" class="quiet" disabled={disabled} aria-label={name} onClick={() => input.current?.click()}>
        {label}
      </button>
      <input
        ref={input}
        type="file"
        hidden
        aria-label={name ?? label}
        accept={accept}
        multiple={multiple || folder}
        {...(folder && { webkitdirectory: true })}
        onChange={(event) => {
          const { currentTarget } = event;
          const files = [...(currentTarget.files ?? [])];
          // Allows choosing the same file again after it was modified.
          currentTarget.value = "";
          if (files.length > 0) onFiles(files);
        }}
      />
    </>
  );
}
