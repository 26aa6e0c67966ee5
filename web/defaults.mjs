// Writes the library's defaults beside the wasm module, so that the page has them before its worker starts.
import { readFileSync, writeFileSync } from "node:fs";
import { defaults, initSync } from "./wasm/minift.js";

initSync({ module: readFileSync("wasm/minift_bg.wasm") });
writeFileSync("wasm/defaults.js", `export const defaults = ${JSON.stringify(defaults(), null, 2)};\n`);
writeFileSync(
  "wasm/defaults.d.ts",
  'import type { Defaults } from "./minift.js";\nexport declare const defaults: Defaults;\n',
);
