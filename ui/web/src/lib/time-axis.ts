const HOUR = 3600; // seconds
const DAY = 86_400;

interface AxisOptions {
  /** One point for each day. */
  daily: boolean;
  /** A fixed start. */
  from: number | undefined;
  /** Seconds up to the newest point. */
  span: number | undefined;
  /** Unix seconds: the end if there are no points. */
  now: number;
}

/**
 * The range of a time axis in Unix seconds. It starts at `from`, `span` seconds before the newest
 * point, or at the oldest point. It ends at the newest point, or at `now` without any. It is never
 * empty: at least an hour, or a week for daily points.
 */
export function timeAxisRange(
  low: number | null,
  high: number | null,
  { daily, from, now, span }: AxisOptions,
): [number, number] {
  const end = high ?? now;
  const begin = from ?? (span ? end - span : (low ?? end));
  return [begin < end ? begin : end - (daily ? 7 * DAY : HOUR), end];
}
