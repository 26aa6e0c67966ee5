import "./chart.css";
import type { ComponentChildren } from "preact";
import type { Method } from "../../package/index.js";
import { methodTitles } from "../../package/index.js";
import { PlotDownloads } from "./plot-downloads.js";

interface Props {
  title: string;
  caption: string;
  id: string;
  /** Text alternative of the chart. */
  summary: string;
  note?: string;
  values: { method: Method; text: string }[];
  /** Returns the chart as an SVG file. */
  image(): string;
  children: ComponentChildren;
}

/** The frame of a chart: title, legend with values, text alternative. */
export function ChartFrame({ title, caption, id, summary, note, values, image, children }: Props) {
  return (
    <figure class="chart" data-testid={id} aria-labelledby={`${id}-title`}>
      <figcaption>
        <h3 id={`${id}-title`}>{title}</h3>
        <p class="help">{caption}</p>
      </figcaption>
      <ul class="legend" aria-hidden="true">
        {values.map(({ method, text }) => (
          <li key={method} class={`method ${method}`}>
            <span class="swatch" /> {methodTitles[method]} <b>{text}</b>
          </li>
        ))}
        {note && <li class="note">{note}</li>}
      </ul>
      {children}
      <PlotDownloads name={id.replace("chart-", "minift-")} title={title} image={image} />
      <p class="visually-hidden">{summary}</p>
    </figure>
  );
}
