import "uplot/dist/uPlot.min.css";
import "./style.css";
import { render } from "preact";
import { Client } from "../package/index.js";
import { App } from "./app.js";
import { Page } from "./components/page.js";
import { applyTheme, storedTheme } from "./theme.js";

applyTheme(storedTheme());
const root = document.getElementById("app");
if (!root) throw new Error("the page has no place for the app");
const app = new App(new Client());
render(<Page app={app} />, root);
void app.open();

// Keeps the page usable without a network. Without one, or in a private window, it works as well.
if ("serviceWorker" in navigator && isSecureContext) {
  navigator.serviceWorker.register("./sw.js").catch(() => undefined);
}
