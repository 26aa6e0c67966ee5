import { existsSync } from "node:fs";

/** Debian's browser, preferred to the one that Playwright installs. */
const debian = "/usr/bin/chromium";

/** Launch options of tests and benchmark: Chromium with WebGPU on SwiftShader. */
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
