import { feed } from "../lib/feed";
import { State } from "./badge";

const TOLD = {
  idle: ["unknown", "Not live"],
  connecting: ["unknown", "Connecting"],
  live: ["online", "Live"],
  waiting: ["late", "Reconnecting"],
} as const;

/** Whether what is shown moves by itself. */
export function LinkState() {
  const [state, label] = TOLD[feed.state.value];
  return (
    <span class="link-state" role="status">
      <State of={state} label={label} />
    </span>
  );
}
