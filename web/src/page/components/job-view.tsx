import type { Job } from "../../package/index.js";
import type { App } from "../app.js";
import { FrontierChart } from "../charts/frontier.js";
import { LossChart } from "../charts/loss.js";
import { PerplexityChart } from "../charts/perplexity.js";
import type { State } from "../state.js";
import { Chat } from "./chat.js";
import { Continuations } from "./continuations.js";
import { Dials } from "./dials.js";
import { Downloads } from "./downloads.js";
import { Results } from "./results.js";
import { RunHeader } from "./run-header.js";
import { Used } from "./used.js";

interface Props {
  app: App;
  state: State;
  job: Job;
  dark: boolean;
}

/** The progress and results of a job. */
export function JobView({ app, state, job, dark }: Props) {
  const started = job.trainings.length > 0;
  return (
    <>
      <RunHeader app={app} state={state} job={job} />
      {started && <Results job={job} />}
      {job.trainings.some(({ finished }) => finished) && <Downloads app={app} state={state} job={job} />}
      {started && (
        <section class="charts" data-report aria-label="Charts">
          <FrontierChart
            job={job}
            dials={state.dials}
            onDial={(method, weight) => app.dial.choose(job, method, weight)}
          />
          <Dials app={app} state={state} job={job} />
          <div class="lines">
            <PerplexityChart job={job} set="domain" dark={dark} />
            <PerplexityChart job={job} set="general" dark={dark} />
            <LossChart job={job} dark={dark} />
          </div>
        </section>
      )}
      {started && <Continuations job={job} />}
      {job.trainings.some(({ finished }) => finished) && <Chat app={app} state={state} job={job} />}
      <Used job={job} />
    </>
  );
}
