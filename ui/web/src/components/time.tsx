import { now } from "../lib/clock";
import { formatRelative, type Instant, toMillis } from "../lib/format";
import { formatTime } from "../lib/time-zone";

/** How long ago; the exact time when the pointer rests on it. `-` for never. */
export function RelativeTime({ at }: { at: Instant }) {
  const when = toMillis(at);
  if (when === null) return <Never />;
  return (
    <time dateTime={new Date(when).toISOString()} title={formatTime(when)}>
      {formatRelative(when, now.value)}
    </time>
  );
}

/** The exact time in the reader's zone. */
export function Timestamp({ at }: { at: Instant }) {
  const when = toMillis(at);
  if (when === null) return <Never />;
  return (
    <time class="mono" dateTime={new Date(when).toISOString()}>
      {formatTime(when)}
    </time>
  );
}

function Never() {
  return <span class="muted">–</span>;
}
