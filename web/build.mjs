// Bundles the page and the npm package around the wasm module that build.sh built in wasm/.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";
import { build } from "esbuild";

const page = "dist";
const npm = "package";
const common = {
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  logLevel: "warning",
};

for (const folder of [page, npm]) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
}

// The page, with the worker and the wasm module beside it.
await build({
  ...common,
  entryPoints: { app: "src/page/main.tsx", worker: "src/package/worker.ts" },
  outdir: page,
  jsx: "automatic",
  jsxImportSource: "preact",
});
const statics = ["index.html", "icon.svg", "manifest.webmanifest"];
for (const file of statics) cpSync(`src/page/${file}`, `${page}/${file}`);
cpSync("wasm/minift_bg.wasm", `${page}/minift_bg.wasm`);

// The service worker is versioned by the hash of all files: a new build is loaded as a whole or not at all.
const files = readdirSync(page).sort();
const hash = createHash("sha256");
for (const file of files) hash.update(file).update(readFileSync(`${page}/${file}`));
await build({
  ...common,
  entryPoints: { sw: "src/page/sw.ts" },
  outdir: page,
  format: "iife",
  define: {
    VERSION: JSON.stringify(hash.digest("hex").slice(0, 16)),
    FILES: JSON.stringify(["./", ...files.filter((file) => file !== "index.html")]),
  },
});

// The npm package.
await build({
  ...common,
  minify: false,
  entryPoints: { index: "src/package/index.ts", worker: "src/package/worker.ts" },
  outdir: npm,
});
execFileSync("npx", ["tsc", "-p", "tsconfig.package.json"], { stdio: "inherit" });
mkdirSync(`${npm}/types/wasm`, { recursive: true });
// The classes are disposable, which requires a library that not every project includes.
const types = readFileSync("wasm/minift.d.ts", "utf8");
writeFileSync(`${npm}/types/wasm/minift.d.ts`, `/// <reference lib="esnext.disposable" />\n${types}`);
cpSync("wasm/minift_bg.wasm", `${npm}/minift_bg.wasm`);
cpSync("README.md", `${npm}/README.md`);
for (const licence of ["LICENSE-MIT", "LICENSE-APACHE"]) cpSync(`../${licence}`, `${npm}/${licence}`);
const { version, description, license } = JSON.parse(readFileSync("package.json", "utf8"));
const manifest = {
  name: "minift",
  version,
  description,
  license,
  repository: { type: "git", url: "git+https://github.com/minift/minift.git", directory: "web" },
  homepage: "https://minift.github.io/minift/manual/browser.html",
  keywords: ["finetuning", "llm", "webgpu", "distillation"],
  type: "module",
  exports: {
    ".": { types: "./types/src/package/index.d.ts", default: "./index.js" },
    "./worker.js": "./worker.js",
  },
  sideEffects: false,
};
writeFileSync(`${npm}/package.json`, `${JSON.stringify(manifest, null, 2)}\n`);

// The download size of the page.
const limit = 4.8e6;
let [raw, brotli] = [0, 0];
for (const file of readdirSync(page)) {
  const bytes = readFileSync(`${page}/${file}`);
  const compressed = brotliCompressSync(bytes, {
    // The window of the brotli program.
    params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length, [constants.BROTLI_PARAM_LGWIN]: 24 },
  }).length;
  raw += bytes.length;
  brotli += compressed;
  console.log(`${file.padEnd(22)} ${String(bytes.length).padStart(10)} ${String(compressed).padStart(9)} brotli`);
}
console.log(`${"total".padEnd(22)} ${String(raw).padStart(10)} ${String(brotli).padStart(9)} brotli`);
if (brotli > limit) throw new Error(`the page is ${brotli} bytes (brotli), above the limit of ${limit}`);
