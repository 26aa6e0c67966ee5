import "./dials.css";
import { useId } from "preact/hooks";
import type { ChoiceAccuracy, Job, Training } from "../../package/index.js";
import { methodTitles } from "../../package/index.js";
import type { App } from "../app.js";
import { estimateAt } from "../charts/front.js";
import { WEIGHT_STEP } from "../charts/frontier.js";
import { decimal, percent, perplexity } from "../format.js";
import { ratioText } from "../metrics.js";
import type { State } from "../state.js";
import { Alert } from "./alert.js";

interface Props {
  app: App;
  state: State;
  job: Job;
}

/** The strength of each finished training, and what the model does at it. */
export function Dials({ app, state, job }: Props) {
  const finished = job.trainings.filter(({ finished, front }) => finished && front);
  if (finished.length === 0) return null;
  return (
    <section class="dials" aria-label="Strength">
      {finished.map((training) => (
        <Dial key={training.method} app={app} state={state} job={job} training={training} />
      ))}
    </section>
  );
}

function Dial({ app, state, job, training }: Props & { training: Training }) {
  const id = useId();
  const { method, front } = training;
  const { weight = 1, point = null, busy = false, error = null } = state.dials[method] ?? {};
  const measured = point?.measured ?? front?.points.find((known) => known.weight === weight) ?? null;
  const estimated = measured ?? (front && estimateAt(front, weight));
  const value = (number: number | undefined): string =>
    number === undefined ? "–" : `${measured ? "" : "≈ "}${perplexity(number)}`;
  const trained = training.continuations.at(-1)?.text ?? null;
  const continuation = point ? point.continuation : weight === 1 ? trained : null;
  return (
    <article class={`card method ${method}`} data-testid={`dial-${method}`} aria-busy={busy}>
      <div class="strength">
        <label for={id}>
          <span class="swatch" aria-hidden="true" /> Strength of {methodTitles[method]}
        </label>
        <output for={id}>{decimal(weight)}</output>
      </div>
      <input
        id={id}
        type="range"
        min={0}
        max={1}
        step={WEIGHT_STEP}
        value={weight}
        aria-describedby={`${id}-ends`}
        onInput={({ currentTarget }) => app.dial.choose(job, method, Number(currentTarget.value))}
      />
      <p class="ends" id={`${id}-ends`}>
        <span>more of what it knew</span> <span aria-hidden="true">↔</span> <span>more of your text</span>
      </p>
      <dl class="stats small">
        <div>
          <dt>Domain perplexity</dt>
          <dd data-testid={`dial-${method}-domain`}>{value(estimated?.domain)}</dd>
        </div>
        <div>
          <dt>General perplexity</dt>
          <dd data-testid={`dial-${method}-general`}>{value(estimated?.general)}</dd>
        </div>
        <div>
          <dt>S/DG</dt>
          <dd>{measured ? ratioText(measured.metrics) : "…"}</dd>
        </div>
        {point && <Choices point={point.domainChoices} busy={busy} set="domain" />}
        {point && <Choices point={point.generalChoices} busy={busy} set="general" />}
      </dl>
      {job.settings.prompt && (
        <p class={continuation === null ? "voice pending" : "voice"} data-testid={`dial-${method}-text`}>
          {continuation === null ? "…" : continuation.trim() || "(empty)"}
        </p>
      )}
      {error && <Alert id={`dial-${method}-error`}>{error}</Alert>}
    </article>
  );
}

/** The share of texts whose continuation the model chooses right among four. */
function Choices({ point, busy, set }: { point: ChoiceAccuracy | null; busy: boolean; set: string }) {
  if (!point && !busy) return null;
  return (
    <div>
      <dt>
        <abbr title="The share of texts whose second half the model finds more likely than those of three others">
          Right choices
        </abbr>
        , {set}
      </dt>
      <dd>
        {point ? percent(point.accuracy) : "…"} {point && <small>chance {percent(point.chance)}</small>}
      </dd>
    </div>
  );
}
