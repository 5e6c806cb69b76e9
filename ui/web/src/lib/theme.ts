import { computed, effect, signal } from "@preact/signals";
import { getStored, setStored } from "./storage";

/** `system` follows the system's setting. */
export type Theme = "system" | "light" | "dark";

const KEY = "freehold-theme"; // public/theme.js reads it before the first paint
const THEMES: Theme[] = ["system", "light", "dark"];
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(prefersDark.matches);
prefersDark.addEventListener("change", event => {
  systemIsDark.value = event.matches;
});

export const theme = signal<Theme>(THEMES.find(name => name === getStored(KEY)) ?? "system");

/** Whether the page is dark now. Charts are redrawn when it changes. */
export const isDark = computed(() =>
  theme.value === "system" ? systemIsDark.value : theme.value === "dark",
);

export function setTheme(chosen: Theme): void {
  theme.value = chosen;
  setStored(KEY, chosen);
}

export function cycleTheme(): void {
  setTheme(THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "system");
}

effect(() => {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
});
