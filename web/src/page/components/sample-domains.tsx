import "./sample-domains.css";
import type { SampleDomain } from "../../package/index.js";
import { sampleDomains } from "../../package/index.js";
import type { App } from "../app.js";
import type { State } from "../state.js";

const DOMAINS = Object.keys(sampleDomains) as SampleDomain[];

/** The choice of an embedded domain text. */
export function SampleDomains({ app, state }: { app: App; state: State }) {
  const { file, busy } = state.texts.domain;
  const chosen = file instanceof File ? null : (file ?? DOMAINS[0]);
  return (
    <fieldset class="samples">
      <legend>Samples</legend>
      {DOMAINS.map((domain) => (
        <label key={domain}>
          <input
            type="radio"
            name="sample-domain"
            checked={chosen === domain}
            disabled={busy}
            onChange={() => void app.inputs.useText("domain", domain === DOMAINS[0] ? null : domain)}
          />
          <span>{sampleDomains[domain]}</span>
        </label>
      ))}
    </fieldset>
  );
}
