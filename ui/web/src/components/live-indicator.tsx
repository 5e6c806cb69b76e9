import { feed } from "../lib/feed";
import { formatTime } from "../lib/time-zone";
import { StatusBadge } from "./badge";

const LABELS = {
  idle: ["unknown", "Not live"],
  connecting: ["unknown", "Connecting"],
  live: ["online", "Live"],
  waiting: ["late", "Reconnecting"],
} as const;

/** The state of the live feed. */
export function LiveIndicator() {
  const since = feed.staleSince.value;
  const [state, text] = since === null ? LABELS[feed.state.value] : LABELS.waiting;
  const label = since === null ? text : `Stale since ${formatTime(since).slice(11)}`;
  return (
    <span class="link-state" role="status">
      <StatusBadge status={state} label={label} />
    </span>
  );
}
