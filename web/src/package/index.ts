export { Client } from "./client.js";
export { MiniftError } from "./errors.js";
export type { FetchOptions } from "./hub.js";
export { applyEvent } from "./job.js";
export type * from "./protocol.js";
export {
  adapterNames,
  allMethods,
  defaultSettings,
  embeddedPrompt,
  learningRates,
  methodNames,
  methodsOf,
  methodTitles,
  needsGeneralText,
  sampleDomains,
} from "./settings.js";
