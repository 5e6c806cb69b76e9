// Before the first paint, so that nobody sees the other theme flash by. `lib/theme.ts` writes it.
try {
  const chosen = localStorage.getItem("freehold-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is forbidden: the system's theme it is.
}
