const HOUR = 3600; // seconds
const DAY = 86_400;

interface AxisOptions {
  /** A point a day. */
  daily: boolean;
  /** Where it begins, whatever there is. */
  from: number | undefined;
  /** Seconds up to the newest point. */
  span: number | undefined;
  /** Unix seconds: the end if there is no point. */
  now: number;
}

/**
 * What a time axis shows, in Unix seconds: from `from`, or `span` seconds back from the newest point, or
 * from the oldest one; up to the newest, or to now without any. Never nothing: of one point it is
 * an hour, or a week of days.
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
