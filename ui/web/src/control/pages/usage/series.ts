import { formatPercent } from "../../../lib/format";
import type { AgeClass, DailyCount, Forecast } from "./api-types";

type Values = (number | null)[];

interface ForecastSeries {
  /** Unix seconds. */
  times: number[];
  history: Values;
  expected: Values;
  band: { low: Values; high: Values };
}

/** Measured and forecast values on one axis. Null where a line has no value. */
export function forecastSeries({ band, history }: Forecast): ForecastSeries {
  const past = history.map(({ value }) => value);
  const none = (rows: readonly unknown[]): Values => rows.map(() => null);
  return {
    times: [...history, ...band].map(({ at }) => Date.parse(at) / 1000),
    history: [...past, ...none(band)],
    expected: [...none(history), ...band.map(each => each.expected)],
    band: {
      low: [...none(history), ...band.map(({ low }) => Math.max(0, low))], // a forecast may be negative, a size may not
      high: [...none(history), ...band.map(({ high }) => high)],
    },
  };
}

/** CSV (RFC 4180). All cells are the server's words and numbers, so none is a formula. */
export function forecastCsv(all: readonly Forecast[]): string {
  const rows = all.flatMap(({ band, history, name, unit, vault }) => [
    ...history.map(({ at, value }) => [name, unit, vault, at, value, "", "", ""]),
    ...band.map(({ at, expected, high, low }) => [name, unit, vault, at, "", expected, low, high]),
  ]);
  const head = ["name", "unit", "vault", "at", "value", "expected", "low", "high"];
  return [head, ...rows].map(row => `${row.join(",")}\r\n`).join("");
}

/** Seconds. */
export const DAY = 86_400;

export interface DailySeries {
  /** Unix seconds: midnight UTC. */
  times: number[];
  count: number[];
  failed: number[];
}

/** One point for each day from the first with a count to today. Days without a count are 0. */
export function dailySeries(points: readonly DailyCount[], now: number): DailySeries {
  const known = new Map(points.map(point => [Date.parse(point.at) / 1000, point]));
  const first = Math.min(...known.keys());
  const times: number[] = [];
  for (let at = first; at <= now; at += DAY) times.push(at);
  return {
    times,
    count: times.map(at => known.get(at)?.count ?? 0),
    failed: times.map(at => known.get(at)?.failed ?? 0),
  };
}

/**
 * The classes by the time since the last read, without secrets that were never read. Agents count
 * those by their age, in the same classes: how many of each is known (`exact`) if there is no
 * secret of one sort, or only one class.
 */
export function readClasses(
  classes: readonly AgeClass[],
  never: number,
): { read: readonly AgeClass[]; exact: boolean } {
  const used = classes.filter(({ count }) => count);
  const total = used.reduce((sum, each) => sum + each.count, 0);
  const exact = !never || never === total || used.length === 1;
  if (!exact) return { read: classes, exact };
  const read = classes.map(each => ({
    ...each,
    count: never === total || each === used[0] ? Math.max(0, each.count - never) : each.count,
  }));
  return { read, exact };
}

/** A share in percent. `–` if there is no total. */
export function formatShare(part: number, all: number): string {
  return formatPercent(all ? part / all : null);
}

/** Label of an age class: more than `above` days, at most `most` (null: open). */
export function dayRange(above: number, most: number | null): string {
  if (most === null) return `more than ${above} d`;
  return above ? `${above} to ${most} d` : `less than ${most} d`;
}
