import type { PlotStyle } from "./plot-svg.js";
import { escaped } from "./plot-svg.js";

/** Pixels per unit of a picture. */
const SCALE = 2;
/** What style sheets give to the shapes of a plot. */
const PROPERTIES = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "stroke-linejoin",
  "opacity",
  "text-anchor",
  "font-size",
  "font-style",
  "font-weight",
];

/** Returns a color of the style sheet, of a method if given, as a canvas or a file takes it. */
export function resolvedColor(element: HTMLElement, value: string, method = ""): string {
  const probe = document.createElement("span");
  probe.className = `method ${method}`;
  probe.style.color = value;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** Returns the style of plots in files: that of the page around an element. */
export function plotStyle(element: HTMLElement): PlotStyle {
  const color = (value: string, method = ""): string => resolvedColor(element, value, method);
  return {
    ink: color("var(--ink)"),
    muted: color("var(--muted)"),
    grid: color("var(--grid)"),
    surface: color("var(--surface)"),
    font: getComputedStyle(element).fontFamily,
    series: (method, faint) => color(faint ? "var(--series-faint)" : "var(--series)", method),
  };
}

/** Returns the shapes of a plot as SVG text, with what style sheets give them as attributes. */
export function shapes(plot: SVGSVGElement): string {
  const copy = (element: Element): string => {
    const style = getComputedStyle(element);
    if (style.display === "none" || element.tagName === "title") return "";
    const own = [...element.attributes].filter(({ name }) => name !== "class" && !PROPERTIES.includes(name));
    const attributes = [
      ...own.map(({ name, value }) => [name, value]),
      ...PROPERTIES.map((name) => [name, style.getPropertyValue(name)]),
    ];
    const written = attributes
      .filter(([, value]) => value)
      .map(([name, value]) => ` ${name}="${escaped(value ?? "")}"`);
    const content = [...element.childNodes].map((node) =>
      node instanceof Element ? copy(node) : escaped(node.textContent ?? ""),
    );
    return `<${element.tagName}${written.join("")}>${content.join("")}</${element.tagName}>`;
  };
  return [...plot.children].map(copy).join("\n");
}

/** Draws an SVG file as a PNG file. */
export async function toPng(svg: string): Promise<Blob> {
  const picture = new Image();
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await picture.decode();
  const canvas = document.createElement("canvas");
  canvas.width = picture.naturalWidth * SCALE;
  canvas.height = picture.naturalHeight * SCALE;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser provides no canvas");
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture is too large"))), "image/png");
  });
}
