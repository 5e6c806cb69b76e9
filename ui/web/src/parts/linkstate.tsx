import { feed } from "../lib/feed";
import { shownMoment } from "../lib/zone";
import { State } from "./badge";

const TOLD = {
  idle: ["unknown", "Not live"],
  connecting: ["unknown", "Connecting"],
  live: ["online", "Live"],
  waiting: ["late", "Reconnecting"],
} as const;

/** Whether what is shown moves by itself. */
export function LinkState() {
  const since = feed.since.value;
  const [state, told] = since === null ? TOLD[feed.state.value] : TOLD.waiting;
  const label = since === null ? told : `Stale since ${shownMoment(since).slice(11)}`;
  return (
    <span class="link-state" role="status">
      <State of={state} label={label} />
    </span>
  );
}
