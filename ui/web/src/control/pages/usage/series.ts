import { formatPercent } from "../../../lib/format";
import type { DailyCount, Forecast } from "./api-types";

type Values = (number | null)[];

interface ForecastSeries {
  /** Unix seconds. */
  times: number[];
  history: Values;
  expected: Values;
  band: { low: Values; high: Values };
}

/** Past and future on one axis: null where a line has no value. */
export function forecastSeries({ band, history }: Forecast): ForecastSeries {
  const past = history.map(({ value }) => value);
  const none = (rows: readonly unknown[]): Values => rows.map(() => null);
  return {
    times: [...history, ...band].map(({ at }) => Date.parse(at) / 1000),
    history: [...past, ...none(band)],
    expected: [...none(history), ...band.map(each => each.expected)],
    band: {
      low: [...none(history), ...band.map(({ low }) => Math.max(0, low))], // none is less than nothing
      high: [...none(history), ...band.map(({ high }) => high)],
    },
  };
}

/** As CSV (RFC 4180). Names are the server's own words and numbers: no cell can be a formula. */
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
  /** Unix seconds: the beginnings of days in UTC. */
  times: number[];
  count: number[];
  failed: number[];
}

/** A point for each day from the first one with a count to today: a day without any is 0. */
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

/** A part of all in percent; `–` of nothing. The one way in which these pages say it. */
export function formatShare(part: number, all: number): string {
  return formatPercent(all ? part / all : null);
}

/** A class of times: more than `above` days, at most `most` (null: without an end). */
export function dayRange(above: number, most: number | null): string {
  if (most === null) return `more than ${above} d`;
  return above ? `${above} to ${most} d` : `less than ${most} d`;
}
