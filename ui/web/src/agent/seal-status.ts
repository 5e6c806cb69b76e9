import { effect, signal } from "@preact/signals";
import { fetchWithTimeout } from "../lib/api";
import { feed } from "../lib/feed";
import type { SealStatus } from "./api-types";

const POLL_INTERVAL = 3000; // milliseconds, unless the feed is live and the agent serves
const SLOW_POLL_FACTOR = 5; // polls are skipped while the feed is live; it stays live while the agent refuses requests

/** The seal status. Null while it is unknown, for example when the agent is unreachable. */
export const sealStatus = signal<SealStatus | null>(null);

let isAsking = false;

/** Fetch the seal status, unless a request is in flight. */
export async function refreshSealStatus(): Promise<void> {
  if (isAsking) return;
  isAsking = true;
  try {
    const init = { method: "GET", headers: { Accept: "application/json" } };
    const { response, body: text } = await fetchWithTimeout("/v1/sys/seal-status", init);
    if (response.ok) sealStatus.value = JSON.parse(text) as SealStatus;
  } catch {
    // Unreachable: the page shows that already, and the next poll follows.
  } finally {
    isAsking = false;
  }
}

/** Keep `sealStatus` up to date. Call once at startup. */
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
