import { effect, signal } from "@preact/signals";
import { fetchWithTimeout } from "../lib/api";
import { feed } from "../lib/feed";
import type { SealStatus } from "./api-types";

const POLL_INTERVAL = 3000; // milliseconds, while it is not known that all is well
const SLOW_POLL_FACTOR = 5; // else each fifth time: the feed goes on while the agent refuses everything

/** Whether the vault is open; null: not known, as when the agent cannot be reached. */
export const sealStatus = signal<SealStatus | null>(null);

let isAsking = false;

/** Ask now, unless an answer is being waited for. */
export async function refreshSealStatus(): Promise<void> {
  if (isAsking) return;
  isAsking = true;
  try {
    const init = { method: "GET", headers: { Accept: "application/json" } };
    const { response, body: text } = await fetchWithTimeout("/v1/sys/seal-status", init);
    if (response.ok) sealStatus.value = JSON.parse(text) as SealStatus;
  } catch {
    // It cannot be reached: what is shown says so by itself, and the next look comes.
  } finally {
    isAsking = false;
  }
}

/** Keep `seal` true. Once, at the start. */
export function watchSealStatus(): void {
  effect(() => {
    if (feed.state.value !== "live") void refreshSealStatus();
  });
  effect(() => {
    if (sealStatus.value?.sealed === false) feed.reconnect();
  });
  let turn = 0;
  setInterval(() => {
    const now = sealStatus.peek();
    const isWell = feed.state.peek() === "live" && !now?.sealed && !now?.refusing;
    turn = (turn + 1) % SLOW_POLL_FACTOR;
    if (!document.hidden && (!isWell || !turn)) void refreshSealStatus();
  }, POLL_INTERVAL);
}
