import { effect } from "@preact/signals";
import { Live } from "./live";
import { doubt, expire, standing } from "./session";

const PATH = "/api/v1/live";

/** The one live feed of this page. */
export const feed = new Live({
  open: () => new WebSocket(Object.assign(new URL(PATH, location.href), { protocol: scheme() })),
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
