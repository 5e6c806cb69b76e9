import { effect, signal } from "@preact/signals";
import { request } from "../lib/api";
import { feed } from "../lib/feed";
import type { Seal } from "./wire";

const EVERY = 3000; // milliseconds, while it is not known that all is well
const SLOWLY = 5; // else each fifth time: the feed goes on while the agent refuses everything

/** Whether the vault is open; null: not known, as when the agent cannot be reached. */
export const seal = signal<Seal | null>(null);

let isAsking = false;

/** Ask now, unless an answer is being waited for. */
export async function lookAtSeal(): Promise<void> {
  if (isAsking) return;
  isAsking = true;
  try {
    const init = { method: "GET", headers: { Accept: "application/json" } };
    const { response, body: text } = await request("/v1/sys/seal-status", init);
    if (response.ok) seal.value = JSON.parse(text) as Seal;
  } catch {
    // It cannot be reached: what is shown says so by itself, and the next look comes.
  } finally {
    isAsking = false;
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
  let turn = 0;
  setInterval(() => {
    const now = seal.peek();
    const isWell = feed.state.peek() === "live" && !now?.sealed && !now?.refusing;
    turn = (turn + 1) % SLOWLY;
    if (!document.hidden && (!isWell || !turn)) void lookAtSeal();
  }, EVERY);
}
