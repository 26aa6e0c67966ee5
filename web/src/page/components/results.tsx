import type { Job } from "../../package/index.js";
import { count, decimal, perplexity, signed } from "../format.js";
import { latest, METHOD_NAMES, metrics, ratioText, untouched } from "../metrics.js";

/** Perplexities and what they say; of the newest evaluation while a job runs. */
export function Results({ job }: { job: Job }) {
  const before = untouched(job);
  if (!before) return null;
  return (
    <section class="results" aria-labelledby="results-title" data-testid="results">
      <h2 id="results-title">{job.state === "finished" ? "Results" : "Results so far"}</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Table of results">
        <table>
          <thead>
            <tr>
              <th scope="col">
                <span class="visually-hidden">Model</span>
              </th>
              <th scope="col">
                Domain <small>perplexity</small>
              </th>
              <th scope="col">
                General <small>perplexity</small>
              </th>
              <th scope="col">
                <abbr title="domain perplexity gained: higher is better">S</abbr> <small>gained</small>
              </th>
              <th scope="col">
                <abbr title="general perplexity lost: lower is better">DG</abbr> <small>forgotten</small>
              </th>
              <th scope="col">
                S/DG <small>gain per point</small>
              </th>
              <th scope="col">
                Δ domain <small>nats a token</small>
              </th>
              <th scope="col">
                Δ general <small>nats a token</small>
              </th>
            </tr>
          </thead>
          <tbody>
            <tr data-testid="row-untouched">
              <th scope="row">Untouched</th>
              <td>{perplexity(before.domain)}</td>
              <td>{perplexity(before.general)}</td>
              <td colSpan={5} />
            </tr>
            {job.trainings.map((training) => {
              const { method } = training;
              const after = latest(training);
              const found = after && metrics(before, after);
              return (
                <tr key={method} class={method} data-testid={`row-${method}`}>
                  <th scope="row">
                    <span class="swatch" aria-hidden="true" /> {METHOD_NAMES[method]}
                    {method === "mft" && <small> τ {training.tau}</small>}
                    {after && !training.finished && <small> step {count(after.step)}</small>}
                  </th>
                  {after && found ? (
                    <>
                      <td>{perplexity(after.domain)}</td>
                      <td>{perplexity(after.general)}</td>
                      <td>{decimal(found.specialization)}</td>
                      <td>{decimal(found.degeneralization)}</td>
                      <td class="ratio" data-testid={`metric-${method}-ratio`}>
                        {ratioText(found)}
                      </td>
                      <td>{signed(found.domainNats)}</td>
                      <td>{signed(found.generalNats)}</td>
                    </>
                  ) : (
                    <td colSpan={7} class="pending">
                      not measured yet
                    </td>
                  )}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <p class="help">
        S: domain perplexity gained. DG: general perplexity lost. Δ: change of the loss; lower is
        better, also where a foreign domain makes S nearly equal for all.
      </p>
    </section>
  );
}
