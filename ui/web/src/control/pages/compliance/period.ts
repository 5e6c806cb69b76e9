/** Report periods in Unix seconds, in whole days of UTC. Pure: `now` is an argument. */

const DAY = 86_400;
const DATE = /^\d{4}-\d{2}-\d{2}$/;

export interface Period {
  since: number;
  until: number;
}

/** The last `days` before `now` (Unix milliseconds). */
export function lastDays(days: number, now: number): Period {
  const until = Math.floor(now / 1000);
  return { since: until - days * DAY, until };
}

/** From the start of one date (`2026-01-31`) to the end of another. Null if they are invalid. */
export function dateRange(from: string, to: string, now: number): Period | null {
  const [since, end] = [from, to].map(text => (DATE.test(text) ? Date.parse(text) / 1000 : NaN));
  if (since === undefined || end === undefined || Number.isNaN(since) || Number.isNaN(end))
    return null;
  const until = Math.min(end + DAY, Math.floor(now / 1000));
  return since < until ? { since, until } : null;
}
