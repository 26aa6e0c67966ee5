export { Client } from "./client.js";
export { MiniftError } from "./errors.js";
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
} from "./settings.js";
