import { now } from "../lib/clock";
import { formatRelative, formatTimestamp, type Instant, toMillis } from "../lib/format";
import { formatTime, timeZone } from "../lib/time-zone";

/** How long ago a time was. The tooltip has the exact time, also in UTC. A dash for none. */
export function RelativeTime({ at }: { at: Instant }) {
  const when = toMillis(at);
  if (when === null) return <NoTime />;
  const utc = formatTimestamp(when, "utc");
  return (
    <time
      dateTime={new Date(when).toISOString()}
      title={timeZone.value === "utc" ? utc : `${formatTime(when)} (${utc})`}
    >
      {formatRelative(when, now.value)}
    </time>
  );
}

/** The exact time in the reader's zone. The tooltip has it in UTC. A dash for none. */
export function Timestamp({ at }: { at: Instant }) {
  const when = toMillis(at);
  if (when === null) return <NoTime />;
  return (
    <time class="mono" dateTime={new Date(when).toISOString()} title={formatTimestamp(when, "utc")}>
      {formatTime(when)}
    </time>
  );
}

function NoTime() {
  return <span class="muted">–</span>;
}
