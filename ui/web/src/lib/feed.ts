import { effect } from "@preact/signals";
import { Live } from "./live";
import { doubt, expire, standing } from "./session";
import { sessionKey } from "./session-key";

const PATH = "/api/v1/live";

/** The one live feed of this page. */
export const feed = new Live({
  open: () =>
    new WebSocket(Object.assign(new URL(PATH, location.href), { protocol: scheme() }), [
      "freehold.live",
      `freehold.session-key.${sessionKey()}`,
    ]),
  onEnd: expire,
  onRefused: () => void doubt(),
});

addEventListener("online", () => feed.hurry());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) feed.hurry();
});
effect(() => {
  if (standing.value.state !== "in") feed.stop();
});

function scheme(): string {
  return location.protocol === "https:" ? "wss:" : "ws:";
}
