import { readdirSync } from "node:fs";
import { defineConfig } from "vite";

// The tests of lib/, as modules that node's own runner takes.
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
