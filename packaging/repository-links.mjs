// A preprocessor of mdBook: links from docs/ to other files of the repository lead to GitHub.
//
// mdBook calls it with `supports RENDERER`, then with [context, book] in JSON on stdin, and reads the book from stdout.

import { readFileSync } from "node:fs";

if (process.argv[2] !== "supports") {
  const [context, book] = JSON.parse(readFileSync(0, "utf8"));
  const repository = context.config.output.html["git-repository-url"];
  const visit = ({ Chapter: chapter }) => {
    if (!chapter) return; // A separator or a part's title.
    chapter.content = chapter.content.replaceAll("](../", `](${repository}/blob/main/`);
    for (const item of chapter.sub_items) visit(item);
  };
  for (const item of book.items ?? book.sections) visit(item);
  process.stdout.write(JSON.stringify(book));
}
