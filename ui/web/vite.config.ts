import { defineConfig } from "vite";

// Two programs of the same parts: the control plane's dashboard and the agent's own interface.
// Nothing is inlined and no polyfill is written into the page: the content security policy lets
// neither run.
export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    manifest: "manifest.json",
    rolldownOptions: { input: ["control.html", "agent.html"] },
  },
});
