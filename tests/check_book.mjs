// Checks the built manual: every link and image leads to a file of it, with the anchor that it names, every page of docs/
// is in it, and the search index has words of every page.
//
//   node tests/check_book.mjs target/book

import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

const book = process.argv[2];
const faults = [];

/** @returns {string[]} every HTML file below a folder */
const pages = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return pages(path);
    return entry.name.endsWith(".html") ? [path] : [];
  });

const isFile = (path) => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
const texts = new Map(pages(book).map((path) => [path, readFileSync(path, "utf8")]));
const anchors = (path) => new Set([...texts.get(path).matchAll(/\sid="([^"]*)"/g)].map((match) => match[1]));

let links = 0;
for (const [page, text] of texts) {
  // The page of a web server, whose addresses are absolute, and the frame of browsers without JavaScript.
  if (/(^|\/)(404|toc)\.html$/.test(page)) continue;
  for (const [, address] of text.matchAll(/\s(?:href|src)="([^"]*)"/g)) {
    if (/^(https?|mailto|data|javascript):/.test(address)) continue;
    links += 1;
    const [file, anchor] = address.replaceAll("&amp;", "&").split("#");
    const path = file === "" ? page : normalize(join(dirname(page), decodeURIComponent(file)));
    if (relative(book, path).startsWith("..") || !isFile(path)) faults.push(`${page}: ${address}: no such file`);
    else if (anchor && texts.has(path) && !anchors(path).has(decodeURIComponent(anchor)))
      faults.push(`${page}: ${address}: no such heading`);
  }
}

const index = readdirSync(book).find((name) => /^searchindex.*\.js$/.test(name));
const search = index ? readFileSync(join(book, index), "utf8") : "";
for (const name of readdirSync("docs")) {
  if (!name.endsWith(".md") || name === "SUMMARY.md") continue;
  const page = name.replace(/\.md$/, ".html");
  if (!texts.has(join(book, page))) faults.push(`docs/${name} is missing in docs/SUMMARY.md`);
  if (!search.includes(`${page}#`)) faults.push(`docs/${name}: not in the search index`);
}
if (links < 500) faults.push(`only ${links} links were found`);
if (faults.length > 0) {
  console.error(faults.join("\n"));
  process.exit(1);
}
console.log(`${texts.size} pages, ${links} links: all lead somewhere`);
