import { readdirSync } from "node:fs";
import { defineConfig } from "vite";

// Builds the unit tests as modules for node's test runner.
export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  logLevel: "warn",
  publicDir: false,
  build: {
    ssr: true,
    outDir: "build/tests",
    rolldownOptions: { input: readdirSync("tests").map(name => `tests/${name}`) },
  },
  ssr: { noExternal: true },
});
