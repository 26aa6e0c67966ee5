import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";

const built = resolve("package");
let project: string;

/** Runs a command in the empty project. */
function run(command: string, ...parameters: string[]): string {
  return execFileSync(command, parameters, { cwd: project, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

before(() => {
  project = mkdtempSync(join(tmpdir(), "minift-package-"));
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "empty", private: true, type: "module" }));
  const [packed] = JSON.parse(run("npm", "pack", built, "--json"));
  run("npm", "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", `./${packed.filename}`);
});

after(() => rmSync(project, { recursive: true, force: true }));

test("the installed package is the built one", () => {
  const installed = join(project, "node_modules/minift");
  const names = (folder: string): string[] =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
      .sort();
  assert.deepEqual(names(installed), names(built));
  for (const name of names(built)) assert(readFileSync(join(built, name)).equals(readFileSync(join(installed, name))));
  for (const name of ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "index.js", "minift_bg.wasm", "worker.js"])
    assert(names(installed).includes(name), name);
});

// Bundlers, and Node.js with the main process of Electron.
for (const [module, moduleResolution] of [
  ["ESNext", "Bundler"],
  ["NodeNext", "NodeNext"],
]) {
  test(`the README examples are short and type-check in the project: ${moduleResolution}`, () => {
    const blocks = readFileSync("README.md", "utf8").matchAll(/```ts\n([\s\S]*?)```/g);
    const examples = [...blocks].map(([, code = ""]) => code);
    assert(examples.length > 1);
    const files = examples.map((code, index) => {
      assert.match(code, /from "minift"/);
      assert(code.trim().split("\n").length <= 25);
      writeFileSync(join(project, `example${index}.ts`), code);
      return `example${index}.ts`;
    });
    const lib = ["ES2022", "DOM"];
    const compilerOptions = { target: "ES2022", module, moduleResolution, lib, types: [], strict: true, noEmit: true };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
    run(resolve("node_modules/.bin/tsc"), "-p", ".");
    // The types are those of the package, and not `any`.
    const wrong = examples.map((code) => code.replace("samples: 200", 'samples: "many"'));
    assert.notDeepEqual(wrong, examples);
    for (const [index, code] of wrong.entries()) writeFileSync(join(project, `example${index}.ts`), code);
    assert.throws(() => run(resolve("node_modules/.bin/tsc"), "-p", "."));
  });
}

test("Node.js imports it: settings and jobs without a worker, and a client that names what is missing", () => {
  writeFileSync(
    join(project, "import.js"),
    `import { readFile } from "node:fs/promises";
    import { applyEvent, Client, defaultSettings } from "minift";
    const worker = import.meta.resolve("minift/worker.js");
    const module = await WebAssembly.compile(await readFile(new URL("minift_bg.wasm", worker)));
    let error = "";
    try { new Client(); } catch (thrown) { error = String(thrown); }
    console.log(JSON.stringify({
      worker, error, epochs: defaultSettings.epochs, applyEvent: typeof applyEvent,
      exports: WebAssembly.Module.exports(module).length,
    }));`,
  );
  const found = JSON.parse(run("node", "import.js"));
  assert.match(found.worker, /node_modules\/minift\/worker\.js$/);
  assert.equal(found.applyEvent, "function");
  assert(found.epochs > 0);
  assert(found.exports > 10);
  assert.match(found.error, /Worker/);
});
