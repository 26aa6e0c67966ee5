import "./page.css";
import { useCallback, useEffect, useState } from "preact/hooks";
import type { TextRole } from "../../package/index.js";
import { title } from "../app/words.js";
import type { App } from "../app.js";
import { isLive } from "../state.js";
import { useStore } from "../store.js";
import { isDark } from "../theme.js";
import { DropZone } from "./drop-zone.js";
import { Examine } from "./examine.js";
import { Header } from "./header.js";
import { JobView } from "./job-view.js";
import { JobsList } from "./jobs-list.js";
import { Notices } from "./notices.js";
import { SetupView } from "./setup-view.js";

/** The whole page. */
export function Page({ app }: { app: App }) {
  const state = useStore(app.store);
  const [dark, setDark] = useState(isDark());
  const { job, view } = state;
  const shown = view === "job" ? job : null;

  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const change = (): void => setDark(isDark());
    query.addEventListener("change", change);
    return () => query.removeEventListener("change", change);
  }, []);

  const name = title(state);
  useEffect(() => {
    document.title = name;
  }, [name]);

  // A new view starts at the top.
  useEffect(() => {
    if (shown) window.scrollTo({ top: 0 });
  }, [shown?.id]);

  const take = useCallback((files: File[], role: TextRole | null) => void app.inputs.take(files, role), [app]);
  return (
    <>
      <Header dark={dark} onTheme={() => setDark(isDark())} />
      <main>
        <Notices app={app} state={state} />
        {shown ? <JobView app={app} state={state} job={shown} dark={dark} /> : <SetupView app={app} state={state} />}
        <JobsList app={app} state={state} />
      </main>
      <footer>
        <Examine app={app} state={state} />
        <p class="help">
          Method: Belcak, Heinrich, Kautz, Molchanov, <a href="https://arxiv.org/abs/2506.15702">arXiv:2506.15702</a>.
          minift is open source under MIT or Apache-2.0.
        </p>
      </footer>
      <p class="visually-hidden" aria-live="polite" data-testid="announcement">
        {state.announcement}
      </p>
      <DropZone disabled={view !== "setup" || isLive(job)} onFiles={take} />
    </>
  );
}
