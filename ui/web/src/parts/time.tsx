import { now } from "../lib/clock";
import { ago, instant } from "../lib/format";
import { shownMoment } from "../lib/zone";

/** How long ago; the exact time when the pointer rests on it. `-` for never. */
export function TimeAgo({ at }: { at: string | number | null | undefined }) {
  const when = instant(at);
  if (when === null) return <span class="muted">–</span>;
  return (
    <time dateTime={new Date(when).toISOString()} title={shownMoment(when)}>
      {ago(when, now.value)}
    </time>
  );
}

/** The exact time in the reader's zone. */
export function Moment({ at }: { at: string | number | null | undefined }) {
  const when = instant(at);
  if (when === null) return <span class="muted">–</span>;
  return (
    <time class="mono" dateTime={new Date(when).toISOString()}>
      {shownMoment(when)}
    </time>
  );
}
