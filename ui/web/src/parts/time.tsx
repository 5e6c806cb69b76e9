import { now } from "../lib/clock";
import { ago, type Instant, instant } from "../lib/format";
import { shownMoment } from "../lib/zone";

/** How long ago; the exact time when the pointer rests on it. `-` for never. */
export function TimeAgo({ at }: { at: Instant }) {
  const when = instant(at);
  if (when === null) return <Never />;
  return (
    <time dateTime={new Date(when).toISOString()} title={shownMoment(when)}>
      {ago(when, now.value)}
    </time>
  );
}

/** The exact time in the reader's zone. */
export function Moment({ at }: { at: Instant }) {
  const when = instant(at);
  if (when === null) return <Never />;
  return (
    <time class="mono" dateTime={new Date(when).toISOString()}>
      {shownMoment(when)}
    </time>
  );
}

function Never() {
  return <span class="muted">–</span>;
}
