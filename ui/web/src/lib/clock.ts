import { signal } from "@preact/signals";

/** Unix milliseconds, updated every second while the page is visible. Relative times read it. */
export const now = signal(Date.now());

setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);
document.addEventListener("visibilitychange", () => {
  now.value = Date.now();
});
