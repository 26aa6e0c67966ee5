import type { App } from "../app.js";
import type { State } from "../state.js";
import { Alert } from "./alert.js";
import { DeviceCard } from "./device-card.js";
import { ModelCard } from "./model-card.js";
import { SettingsForm } from "./settings-form.js";
import { StartBar } from "./start-bar.js";
import { TextsCard } from "./texts-card.js";

/** Everything before a run, ready at one press. */
export function SetupView({ app, state }: { app: App; state: State }) {
  return (
    <>
      <section class="intro">
        <h1>Teach a language model your text. Keep what it knew.</h1>
        <p>
          minift finetunes a small language model right here in the browser, on your GPU: nothing is
          uploaded, your text never leaves this machine. <em>Minifinetuning</em> corrects the model’s
          own predictions just enough for the right word to win, which gains most of what plain
          finetuning gains and forgets a fraction as much (
          <a href="https://arxiv.org/abs/2506.15702">the paper</a>).
        </p>
      </section>
      <StartBar app={app} state={state} />
      {state.dropNote && <Alert id="drop-error">{state.dropNote}</Alert>}
      <div class="cards">
        <TextsCard app={app} state={state} />
        <div class="column">
          <ModelCard app={app} state={state} />
          <DeviceCard app={app} state={state} />
        </div>
      </div>
      <p class="drop-hint">
        Your own model folder or texts can be dropped anywhere on this page.
      </p>
      <SettingsForm app={app} state={state} />
    </>
  );
}
