import "./continuations.css";
import type { Continuation, Job, Training } from "../../package/index.js";
import { methodsOf } from "../../package/index.js";
import { count } from "../format.js";
import { METHOD_WORDS, trainingOf } from "../metrics.js";

/** Continuations of the prompt by the untouched model and by each method. */
export function Continuations({ job }: { job: Job }) {
  const { prompt } = job.settings;
  const before = job.trainings.flatMap(({ continuations }) => continuations).find(({ step }) => step === 0);
  if (!prompt || !before) return null;
  return (
    <section class="continuations" data-report aria-labelledby="continuations-title" data-testid="continuations">
      <h2 id="continuations-title">Sample output</h2>
      <p class="prompt">
        <span class="visually-hidden">Prompt: </span>
        {prompt}
      </p>
      <div class="voices">
        <article data-testid="continuation-untouched">
          <h3>Untouched</h3>
          <p class="voice">{shown(before.text)}</p>
        </article>
        {methodsOf(job.settings).map((method) => (
          <Voice key={method} method={method} training={trainingOf(job, method)} />
        ))}
      </div>
    </section>
  );
}

function shown(text: string): string {
  return text.trim() || "(empty)";
}

function Voice({ method, training }: { method: Training["method"]; training: Training | null }) {
  const later = training?.continuations.filter(({ step }) => step > 0) ?? [];
  const newest = later.at(-1);
  const earlier = later.slice(0, -1).reverse();
  return (
    <article class={`method ${method}`} data-testid={`continuation-${method}`}>
      <h3>
        <span class="swatch" aria-hidden="true" /> {METHOD_WORDS[method]}
        {newest && <small> step {count(newest.step)}</small>}
      </h3>
      <p class={newest ? "voice" : "voice pending"}>{newest ? shown(newest.text) : "…"}</p>
      {earlier.length > 0 && (
        <details>
          <summary>Earlier</summary>
          <ol reversed>
            {earlier.map(({ step, text }: Continuation) => (
              <li key={step}>
                <small>step {count(step)}</small>
                <p class="voice">{shown(text)}</p>
              </li>
            ))}
          </ol>
        </details>
      )}
    </article>
  );
}
