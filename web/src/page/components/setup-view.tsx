import "./setup-view.css";
import type { App } from "../app.js";
import type { State } from "../state.js";
import { Alert } from "./alert.js";
import { DeviceCard } from "./device-card.js";
import { ModelCard } from "./model-card.js";
import { SettingsForm } from "./settings-form.js";
import { StartBar } from "./start-bar.js";
import { TextsCard } from "./texts-card.js";

/** The setup of a run. */
export function SetupView({ app, state }: { app: App; state: State }) {
  return (
    <>
      <section class="intro">
        <h1>Adapt a language model to your text. Keep what it knew.</h1>
        <p>In this browser: nothing is uploaded, your text never leaves this device.</p>
      </section>
      <StartBar app={app} state={state} />
      <p class="lead">
        <em>Minifinetuning</em> trains a small language model on its own predictions, corrected just enough for the
        right token to win. It achieves most of the gain of plain finetuning and forgets a fraction as much (
        <a href="https://arxiv.org/abs/2506.15702">the paper</a>). Afterwards you choose between gain and forgetting,
        and talk to the result.
      </p>
      {state.dropNote && <Alert id="drop-error">{state.dropNote}</Alert>}
      <div class="cards">
        <TextsCard app={app} state={state} />
        <div class="column">
          <ModelCard app={app} state={state} />
          <DeviceCard app={app} state={state} />
        </div>
      </div>
      <p class="drop-hint">Drop a model folder or texts anywhere on this page.</p>
      <SettingsForm app={app} state={state} />
    </>
  );
}
