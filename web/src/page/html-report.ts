import { isDark } from "./theme.js";

/** What only works in the page. */
const CONTROLS = "button, input, textarea, fieldset, .actions, .ends, [hidden]";

/**
 * Returns the shown results, the elements with `data-report`, as a self-contained HTML file in the colors of the page.
 * It has the style sheet of the page and its plots as images.
 */
export async function htmlReport(title: string): Promise<string> {
  const style = await (await fetch("./app.css")).text();
  const file = document.implementation.createHTMLDocument(title);
  file.documentElement.lang = "en";
  file.documentElement.dataset.theme = isDark() ? "dark" : "light";
  const encoding = file.createElement("meta");
  encoding.setAttribute("charset", "utf-8");
  const viewport = file.createElement("meta");
  viewport.name = "viewport";
  viewport.content = "width=device-width, initial-scale=1";
  file.head.prepend(encoding);
  file.head.append(viewport);
  const app = file.createElement("div");
  app.id = "app";
  const main = file.createElement("main");
  main.append(...[...document.querySelectorAll("[data-report]")].map(copied));
  app.append(main);
  file.body.append(app);
  // As text: the page's own policy forbids style elements.
  const html = file.documentElement.outerHTML.replace("</head>", () => `<style>${style}</style></head>`);
  return `<!doctype html>\n${html}\n`;
}

/** Copies an element without its controls, with canvases as images and details open. */
function copied(element: Element): Element {
  const copy = element.cloneNode(true) as Element;
  const canvases = element.querySelectorAll("canvas");
  for (const [index, canvas] of [...copy.querySelectorAll("canvas")].entries()) {
    const image = document.createElement("img");
    image.src = canvases[index]?.toDataURL() ?? "";
    image.alt = "";
    image.style.cssText = canvas.style.cssText;
    canvas.replaceWith(image);
  }
  for (const control of copy.querySelectorAll(CONTROLS)) control.remove();
  for (const details of copy.querySelectorAll("details")) details.open = true;
  if (copy instanceof HTMLDetailsElement) copy.open = true;
  return copy;
}
