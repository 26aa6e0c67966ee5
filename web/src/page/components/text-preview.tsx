import "./text-preview.css";
import { useEffect, useState } from "preact/hooks";
import type { SetPreview, TextRole } from "../../package/index.js";
import { errorText, isLoss } from "../app/words.js";
import type { App } from "../app.js";
import { count, counted } from "../format.js";
import type { State } from "../state.js";
import { Alert } from "./alert.js";

interface Props {
  app: App;
  state: State;
  role: TextRole;
}

/** Samples of a text as training sees them, with what is predicted marked. */
export function TextPreview({ app, state, role }: Props) {
  const [open, setOpen] = useState(false);
  const [preview, setPreview] = useState<SetPreview | null>(null);
  const [error, setError] = useState<string | null>(null);
  const { maxLength } = state.settings;
  const model = state.model.value;
  const { domain } = state.texts;
  const text = state.texts[role].value;
  const isReady = model && domain.value && !state.model.busy && !domain.busy;

  useEffect(() => {
    if (!open || !isReady) return;
    let isCurrent = true;
    setError(null);
    app.client.request({ type: "preview", role, maxLength }).then(
      (found) => isCurrent && setPreview(found),
      (error: unknown) => {
        if (!isCurrent || isLoss(error)) return;
        setPreview(null);
        setError(errorText(error));
      },
    );
    return () => {
      isCurrent = false;
    };
  }, [app, open, isReady, model, text, domain.value, role, maxLength]);

  return (
    <details class="preview" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>What the model sees</summary>
      {error && <Alert id={`preview-${role}-error`}>{error}</Alert>}
      {open && preview && (
        <div data-testid={`preview-${role}`}>
          <p class="facts">{inWords(preview)}</p>
          <ol>
            {preview.shown.map(({ pieces, cut }, index) => (
              <li key={index}>
                {pieces.map(({ text, predicted }, index) =>
                  predicted ? <mark key={index}>{text}</mark> : <span key={index}>{text}</span>,
                )}
                {cut && " …"}
              </li>
            ))}
          </ol>
          <p class="help">Marked: what the model learns to predict. The first token of a sample never is.</p>
        </div>
      )}
    </details>
  );
}

/** Describes how many samples and tokens a text has. */
export function inWords({ summary, skipped_because: because }: SetPreview): string {
  const { samples, texts, skipped, truncated, tokens, given } = summary;
  const parts = [`${counted(samples, "sample")} from ${counted(texts + skipped, "text")}`];
  if (truncated > 0) parts.push(`${count(truncated)} truncated`);
  if (skipped > 0) parts.push(`${count(skipped)} skipped (${because})`);
  parts.push(`${count(tokens)} predicted tokens`);
  if (given > 0) parts.push(`${count(given)} of context`);
  return parts.join(" · ");
}
