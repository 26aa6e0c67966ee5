import "./texts-card.css";
import type { TextRole } from "../../package/index.js";
import { methodsOf, needsGeneralText } from "../../package/index.js";
import type { App } from "../app.js";
import { TEXT_ENDINGS } from "../files.js";
import { counted, short } from "../format.js";
import type { State } from "../state.js";
import { Alert } from "./alert.js";
import { FileButton } from "./file-button.js";
import { SampleDomains } from "./sample-domains.js";
import { TextPreview } from "./text-preview.js";

interface Role {
  role: TextRole;
  label: string;
  help: string;
  /** Shown without a text. */
  none: string;
  back: string;
}

const ROLES: readonly Role[] = [
  {
    role: "domain",
    label: "Domain",
    help: "The text to train on.",
    none: "None",
    back: "Use the built-in text",
  },
  {
    role: "held-out",
    label: "Held out",
    help: "Measures the gain on the domain.",
    none: "Last part of the domain text",
    back: "Remove",
  },
  {
    role: "general",
    label: "General",
    help: "Measures forgetting.",
    none: "None",
    back: "Use the built-in text",
  },
];

/** The text of methods with replay or elastic weight consolidation. */
const REPLAY: Role = {
  role: "replay",
  label: "Replay",
  help: "General text that replay and EWC train on.",
  none: "Written by the untouched model",
  back: "Remove",
};

/** The texts by role. */
export function TextsCard({ app, state }: { app: App; state: State }) {
  const roles = methodsOf(state.settings).some(needsGeneralText) ? [...ROLES, REPLAY] : ROLES;
  return (
    <section class="card" aria-labelledby="texts-title">
      <h2 id="texts-title">Texts</h2>
      <ul class="texts">
        {roles.map((role) => (
          <TextRow key={role.role} app={app} state={state} {...role} />
        ))}
      </ul>
      <p class="help">
        .txt with a blank line between samples, .md, .jsonl or .json with “text”, “prompt” and “completion” or
        “messages”, .csv, .tsv or .parquet with such columns; optionally compressed (.gz, .zst). Texts stay on this
        device.
      </p>
    </section>
  );
}

function TextRow({ app, state, role, label, help, none, back }: Role & { app: App; state: State }) {
  const { value, busy, error, file } = state.texts[role];
  const lower = label.toLowerCase();
  return (
    <li data-drop={role} aria-busy={busy} data-testid={`text-${role}`}>
      <div class="text-row">
        <div class="role">
          <h3>{label}</h3>
          <p class="help">{help}</p>
        </div>
        <div class="what">
          <p class={value ? "main" : "main pending"}>{busy ? "Reading…" : value ? value.name : none}</p>
          {value && (
            <p class="facts">
              {counted(value.info.texts, "text")} · {short(value.info.characters)} characters
            </p>
          )}
          {value && (
            <p class="first" title="First text">
              {value.info.first}
            </p>
          )}
          {value?.info.notes.map((note) => (
            <p key={note} class="facts">
              {note}
            </p>
          ))}
          {role === "domain" && <SampleDomains app={app} state={state} />}
          {(value || role === "held-out") && <TextPreview app={app} state={state} role={role} />}
        </div>
        <div class="actions">
          <FileButton
            label="Choose"
            name={`Choose ${lower} text`}
            accept={TEXT_ENDINGS}
            disabled={busy}
            onFiles={([first]) => first && void app.inputs.useText(role, first)}
          />
          {file instanceof File && (
            <button
              type="button"
              class="quiet"
              aria-label={`${back} (${lower})`}
              onClick={() => void app.inputs.useText(role, null)}
            >
              {back}
            </button>
          )}
        </div>
      </div>
      {error && <Alert id={`text-${role}-error`}>{error}</Alert>}
    </li>
  );
}
