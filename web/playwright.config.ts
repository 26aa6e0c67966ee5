import { defineConfig } from "@playwright/test";
import { launchOptions } from "./browser.mjs";

export default defineConfig({
  testDir: "tests",
  outputDir: "test-results",
  testMatch: "*.spec.ts",
  // A software GPU uses every CPU core: parallel tests would slow each other down.
  workers: 1,
  timeout: 600_000,
  // Long enough for a busy machine: the worker answers after the batch in progress.
  expect: { timeout: 30_000 },
  forbidOnly: Boolean(process.env.CI),
  reporter: [["list"]],
  use: {
    baseURL: "http://localhost:8181",
    viewport: { width: 1280, height: 900 },
    launchOptions,
  },
  webServer: [
    {
      command: "node serve.mjs dist",
      env: { PORT: "8181" },
      url: "http://localhost:8181",
      reuseExistingServer: !process.env.CI,
    },
    {
      command: "node serve.mjs ..",
      env: { PORT: "8182" },
      url: "http://localhost:8182/web/tests/kernels.html",
      reuseExistingServer: !process.env.CI,
    },
  ],
});
