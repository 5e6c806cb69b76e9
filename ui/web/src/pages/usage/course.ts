import type { Forecast } from "./wire";

type Values = (number | null)[];

interface Course {
  /** Unix seconds. */
  times: number[];
  history: Values;
  expected: Values;
  band: { low: Values; high: Values };
}

/** Past and future on one axis: null where a line has no value. */
export function course({ band, history }: Forecast): Course {
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
export function table(all: readonly Forecast[]): string {
  const rows = all.flatMap(({ band, history, name, unit, vault }) => [
    ...history.map(({ at, value }) => [name, unit, vault, at, value, "", "", ""]),
    ...band.map(({ at, expected, high, low }) => [name, unit, vault, at, "", expected, low, high]),
  ]);
  const head = ["name", "unit", "vault", "at", "value", "expected", "low", "high"];
  return [head, ...rows].map(row => `${row.join(",")}\r\n`).join("");
}
