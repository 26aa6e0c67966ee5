import { existsSync } from "node:fs";

/** Debian's browser where it is; else the one that Playwright installed. */
const debian = "/usr/bin/chromium";

/** How tests and benchmark start Chromium: with WebGPU, in software where there is no GPU. */
export const launchOptions = {
  ...(existsSync(debian) ? { executablePath: debian } : {}),
  args: [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
  ],
};
