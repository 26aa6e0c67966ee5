export { Client } from "./client.js";
export { MiniftError } from "./errors.js";
export type { FetchOptions } from "./hub.js";
export { applyEvent } from "./job.js";
export type * from "./protocol.js";
export {
  adapterNames,
  defaultSettings,
  embeddedPrompt,
  learningRates,
  methodNames,
  methodsOf,
  methodTitles,
  sampleDomains,
} from "./settings.js";
