import { readFileSync } from "node:fs";
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "./page.js";
import { expect, finished, open, SHORTEST, test } from "./page.js";

const MODEL = "../assets/minift-tales-360k";
/** A chat template with plain words, which the embedded model has tokens of. */
const TEMPLATE =
  "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}" +
  "{% if add_generation_prompt %}assistant:{% endif %}";

async function train(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await finished(page);
  await page.getByRole("button", { name: "Open the chat" }).click();
}

for (const device of ["cpu", "gpu"]) {
  test(`both models continue a text side by side on the ${device}`, async ({ page }, info) => {
    await open(page, `device=${device}&compare=0&${SHORTEST}`);
    await train(page);
    await page.getByLabel("Beginning of a text").fill("Once upon a time");
    await page.getByRole("button", { name: "Continue", exact: true }).click();
    const untouched = page.getByTestId("answer-untouched").locator(".voice");
    await expect(untouched).toContainText(/\w+ \w+/, { timeout: 60_000 });
    await expect(page.getByTestId("answer-mft").locator(".voice")).toContainText(/\w/);
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await expect(page.getByRole("button", { name: "Continue", exact: true })).toBeVisible();
    const stopped = await untouched.textContent();
    await page.waitForTimeout(300);
    expect(await untouched.textContent()).toBe(stopped);
    await page.screenshot({ path: info.outputPath("chat.png"), fullPage: true });
    expect((await new AxeBuilder({ page }).include("[data-testid=chat]").analyze()).violations).toEqual([]);
  });
}

test("a model with a chat template holds a conversation", async ({ page }) => {
  await open(page, `device=cpu&compare=0&${SHORTEST}`);
  const files = ["config.json", "model.safetensors", "tokenizer.json"].map((name) => ({
    name,
    mimeType: "application/octet-stream",
    buffer: readFileSync(join(MODEL, name)),
  }));
  const template = { name: "chat_template.jinja", mimeType: "text/plain", buffer: Buffer.from(TEMPLATE) };
  await page.locator('input[type=file][aria-label="Choose files of a model"]').setInputFiles([...files, template]);
  await expect(page.getByTestId("model")).toContainText("your model");
  await train(page);
  for (const [index, question] of ["Who was the cat?", "And the dog?"].entries()) {
    await page.getByLabel("Message").fill(question);
    await page.getByLabel("Message").press("Enter");
    await expect(page.getByTestId("answer-mft").nth(index).locator(".voice")).toContainText(/\w/, { timeout: 60_000 });
    await expect(page.getByRole("button", { name: "Send" })).toBeVisible({ timeout: 120_000 });
  }
  await page.getByRole("button", { name: "Start over" }).click();
  await expect(page.getByTestId("answer-mft")).toHaveCount(0);
});
