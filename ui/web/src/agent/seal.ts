import { effect, signal } from "@preact/signals";
import { feed } from "../lib/feed";
import type { Seal } from "./wire";

const EVERY = 3000; // milliseconds, while the feed does not show that all is well

/** Whether the vault is open; null: not known, as when the agent cannot be reached. */
export const seal = signal<Seal | null>(null);

/** Ask now. */
export async function lookAtSeal(): Promise<void> {
  try {
    const answer = await fetch("/v1/sys/seal-status", { headers: { Accept: "application/json" } });
    if (answer.ok) seal.value = (await answer.json()) as Seal;
  } catch {
    // It cannot be reached: what is shown says so by itself, and the next look comes.
  }
}

/** Keep `seal` true. Once, at the start. */
export function watchSeal(): void {
  effect(() => {
    if (feed.state.value !== "live") void lookAtSeal();
  });
  effect(() => {
    if (seal.value?.sealed === false) feed.hurry();
  });
  setInterval(() => {
    if (!document.hidden && (feed.state.peek() !== "live" || seal.peek()?.sealed))
      void lookAtSeal();
  }, EVERY);
}
