import "./used.css";
import type { Job } from "../../package/index.js";
import { adapterNames, methodsOf, methodTitles } from "../../package/index.js";
import { NUMBER_FIELDS } from "../fields.js";
import { bytes, count } from "../format.js";
import { hasEffect } from "../methods.js";

/** The model, texts and settings of a job. */
export function Used({ job }: { job: Job }) {
  const { settings, model, texts } = job;
  const rows: [string, string][] = [
    ["Model", `${model.name}, ${count(model.parameters)} parameters`],
    ["Domain text", texts.domain],
    ["General text", texts.general],
    ["Device", job.device],
    ["Trained", adapterNames[settings.adapter]],
    [
      "Methods",
      methodsOf(settings)
        .map((method) => methodTitles[method])
        .join(", "),
    ],
    ...NUMBER_FIELDS.filter(({ key }) => hasEffect(key, settings)).map(({ key, label }): [string, string] => [
      label,
      String(settings[key]),
    ]),
    ["Storage used", bytes(job.bytes)],
  ];
  return (
    <details class="used" data-report>
      <summary>Settings of this run</summary>
      <dl>
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
