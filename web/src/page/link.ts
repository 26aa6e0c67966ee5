import type { DeviceChoice, JobSettings } from "../package/index.js";
import { allMethods, defaultSettings } from "../package/index.js";
import { ADAPTERS, complaint, DEVICE_CHOICES, MAX_PROMPT, NUMBER_FIELDS } from "./fields.js";

/** The parsed fragment of a link. */
export interface FromLink {
  settings: Partial<JobSettings>;
  device: DeviceChoice | null;
  /** Messages about ignored parameters. */
  notes: string[];
}

/** Returns the fragment of a link to these settings; empty if all are defaults. */
export function toFragment(settings: Partial<JobSettings>, device: DeviceChoice): string {
  const parameters = new URLSearchParams();
  if (device !== "auto") parameters.set("device", device);
  const { method, compare, adapter, gradientCheckpointing, prompt } = { ...defaultSettings, ...settings };
  if (method !== defaultSettings.method) parameters.set("method", method);
  if (compare.join() !== defaultSettings.compare.join()) parameters.set("compare", compare.join() || "0");
  if (adapter !== defaultSettings.adapter) parameters.set("adapter", adapter);
  for (const { key, link } of NUMBER_FIELDS) {
    const value = settings[key];
    if (value !== undefined && value !== defaultSettings[key]) parameters.set(link, String(value));
  }
  if (gradientCheckpointing) parameters.set("checkpointing", "1");
  if (prompt !== defaultSettings.prompt) parameters.set("prompt", prompt);
  const text = parameters.toString();
  return text && `#${text}`;
}

/** Parses a fragment. Invalid parameters are ignored, with a note. */
export function fromFragment(fragment: string): FromLink {
  const found: FromLink = { settings: {}, device: null, notes: [] };
  const ignore = (name: string, value: string, reason: string): void => {
    const shown = value.length > 24 ? `${value.slice(0, 24)}…` : value;
    found.notes.push(`“${name}=${shown}” is ignored: ${reason}`);
  };
  for (const [name, value] of new URLSearchParams(fragment.replace(/^#/, ""))) {
    const number = NUMBER_FIELDS.find(({ link }) => link === name);
    if (number) {
      const wrong = complaint(number, value);
      if (wrong) ignore(name, value, wrong);
      else found.settings[number.key] = Number(value);
    } else if (name === "method") {
      const method = allMethods.find((method) => method === value);
      if (method) found.settings.method = method;
      else ignore(name, value, `expected one of ${allMethods.join(", ")}.`);
    } else if (name === "compare") {
      // Earlier versions compared with plain finetuning alone: 0 or 1.
      const names = value === "0" ? [] : value === "1" ? ["ft"] : value.split(",");
      const methods = names.flatMap((name) => allMethods.find((method) => method === name) ?? []);
      if (methods.length === names.length) found.settings.compare = methods;
      else ignore(name, value, `expected 0, or some of ${allMethods.join(", ")}.`);
    } else if (name === "checkpointing") {
      if (value === "0" || value === "1") found.settings.gradientCheckpointing = value === "1";
      else ignore(name, value, "expected 0 or 1.");
    } else if (name === "adapter") {
      const kind = ADAPTERS.find((kind) => kind === value);
      if (kind) found.settings.adapter = kind;
      else ignore(name, value, `expected one of ${ADAPTERS.join(", ")}.`);
    } else if (name === "device") {
      const choice = DEVICE_CHOICES.find((choice) => choice === value);
      if (choice) found.device = choice;
      else ignore(name, value, "expected auto, gpu or cpu.");
    } else if (name === "prompt") {
      if (value.length <= MAX_PROMPT) found.settings.prompt = value;
      else ignore(name, value, `longer than ${MAX_PROMPT} characters.`);
    } else {
      ignore(name, value, "unknown setting.");
    }
  }
  return found;
}
