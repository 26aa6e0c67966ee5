import "uplot/dist/uPlot.min.css";
import "./styles/palette.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/methods.css";
import { render } from "preact";
import { Client } from "../package/index.js";
import { App } from "./app.js";
import { Page } from "./components/page.js";
import { applyTheme, storedTheme } from "./theme.js";

applyTheme(storedTheme());
const root = document.getElementById("app");
if (!root) throw new Error("the page has no #app element");
const app = new App(new Client());
render(<Page app={app} />, root);
void app.open();

// Makes the page work offline. The page also works without a service worker, as in a private window.
if ("serviceWorker" in navigator && isSecureContext) {
  navigator.serviceWorker.register("./sw.js").catch(() => undefined);
}
