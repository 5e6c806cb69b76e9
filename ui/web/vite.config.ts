import { defineConfig } from "vite";

// Two dashboards with shared components: the control plane's and the agent's.
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
