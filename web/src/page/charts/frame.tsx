import type { ComponentChildren } from "preact";
import type { Method } from "../../package/index.js";
import { METHOD_NAMES } from "../metrics.js";

interface Props {
  title: string;
  caption: string;
  id: string;
  /** What the chart shows, for who cannot see it. */
  summary: string;
  note?: string;
  values: { method: Method; text: string }[];
  children: ComponentChildren;
}

/** What is around every chart: title, legend with values, text alternative. */
export function ChartFrame({ title, caption, id, summary, note, values, children }: Props) {
  return (
    <figure class="chart" data-testid={id} aria-labelledby={`${id}-title`}>
      <figcaption>
        <h3 id={`${id}-title`}>{title}</h3>
        <p class="help">{caption}</p>
      </figcaption>
      <ul class="legend" aria-hidden="true">
        {values.map(({ method, text }) => (
          <li key={method} class={method}>
            <span class="swatch" /> {METHOD_NAMES[method]} <b>{text}</b>
          </li>
        ))}
        {note && <li class="note">{note}</li>}
      </ul>
      {children}
      <p class="visually-hidden">{summary}</p>
    </figure>
  );
}
