// Set the stored theme before the first paint. `lib/theme.ts` stores it.
try {
  const chosen = localStorage.getItem("freehold-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is disabled: keep the system theme.
}
