import { signal } from "@preact/signals";

/** Unix milliseconds, once a second while the page is seen; every "3 s ago" reads this one. */
export const now = signal(Date.now());

setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);
document.addEventListener("visibilitychange", () => {
  now.value = Date.now();
});
