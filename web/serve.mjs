// Serves a folder of static files on localhost, for `npm start` and the tests.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, resolve, sep } from "node:path";

const types = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

/** Starts a server of the files in a folder. */
export function serve(folder, port) {
  const root = resolve(folder);
  const server = createServer((request, response) => {
    const fail = (status) => response.writeHead(status).end();
    let path;
    try {
      path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
    } catch {
      return fail(400);
    }
    let file = join(root, path);
    if (file !== root && !file.startsWith(root + sep)) return fail(403);
    if (request.method !== "GET" && request.method !== "HEAD") return fail(405);
    let found = statSync(file, { throwIfNoEntry: false });
    if (found?.isDirectory()) {
      file = join(file, "index.html");
      found = statSync(file, { throwIfNoEntry: false });
    }
    if (!found?.isFile()) return fail(404);
    response.writeHead(200, {
      "content-type": types[extname(file)] ?? "application/octet-stream",
      "content-length": found.size,
      "cache-control": "no-cache",
    });
    if (request.method === "HEAD") return response.end();
    createReadStream(file).pipe(response);
  });
  return new Promise((done, failed) => {
    server.once("error", failed);
    server.listen(port, "localhost", () => done(server));
  });
}

if (import.meta.main ?? process.argv[1] === import.meta.filename) {
  const folder = process.argv[2] ?? join(import.meta.dirname, "dist");
  const port = Number(process.env.PORT ?? 8080);
  if (!statSync(folder, { throwIfNoEntry: false })) {
    console.error(`${folder} does not exist: run \`npm run build\` first`);
    process.exit(1);
  }
  try {
    await serve(folder, port);
  } catch (error) {
    console.error(`cannot listen on port ${port} (${error.code}): set PORT to another port`);
    process.exit(1);
  }
  console.log(`http://localhost:${port}`);
}
