import "./results.css";
import type { Job } from "../../package/index.js";
import { methodTitles } from "../../package/index.js";
import { count, decimal, perplexity, signed } from "../format.js";
import { latest, ratioText, untouched } from "../metrics.js";

/** Perplexities and metrics of the latest evaluation. */
export function Results({ job }: { job: Job }) {
  const before = untouched(job);
  if (!before) return null;
  return (
    <section class="results" data-report aria-labelledby="results-title" data-testid="results">
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
                <abbr title="decrease of domain perplexity: higher is better">S</abbr> <small>gained</small>
              </th>
              <th scope="col">
                <abbr title="increase of general perplexity: lower is better">DG</abbr> <small>forgotten</small>
              </th>
              <th scope="col">
                S/DG <small>gain per point</small>
              </th>
              <th scope="col">
                Δ domain <small>nats per token</small>
              </th>
              <th scope="col">
                Δ general <small>nats per token</small>
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
              const metrics = after?.metrics;
              return (
                <tr key={method} class={`method ${method}`} data-testid={`row-${method}`}>
                  <th scope="row">
                    <span class="swatch" aria-hidden="true" /> {methodTitles[method]}
                    {method === "mft" && <small> τ {training.tau}</small>}
                    {after && !training.finished && <small> step {count(after.step)}</small>}
                  </th>
                  {after && metrics ? (
                    <>
                      <td>{perplexity(after.domain)}</td>
                      <td>{perplexity(after.general)}</td>
                      <td>{decimal(metrics.specialization)}</td>
                      <td>{decimal(metrics.degeneralization)}</td>
                      <td class="ratio" data-testid={`metric-${method}-ratio`}>
                        {ratioText(metrics)}
                      </td>
                      <td>{signed(metrics.domainNats)}</td>
                      <td>{signed(metrics.generalNats)}</td>
                    </>
                  ) : (
                    <td colSpan={7} class="pending">
                      not evaluated yet
                    </td>
                  )}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <p class="help">
        S: decrease of domain perplexity. DG: increase of general perplexity. Δ: change of the loss; lower is better,
        and comparable where the domain is so foreign that S is nearly equal for both.
      </p>
    </section>
  );
}
