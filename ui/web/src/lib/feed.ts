import { effect } from "@preact/signals";
import { LiveFeed } from "./live-feed";
import { checkSession, expireSession, signInState } from "./session";
import { sessionKey } from "./session-key";

const PATH = "/api/v1/live";

/** The live feed of this page. */
export const feed = new LiveFeed({
  open: () =>
    new WebSocket(Object.assign(new URL(PATH, location.href), { protocol: scheme() }), [
      "freehold.live",
      `freehold.session-key.${sessionKey()}`,
    ]),
  onSessionEnded: expireSession,
  onRefused: () => void checkSession(),
});

addEventListener("online", () => feed.reconnect());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) feed.reconnect();
});
effect(() => {
  if (signInState.value.state !== "in") feed.stop();
});

function scheme(): string {
  return location.protocol === "https:" ? "wss:" : "ws:";
}
