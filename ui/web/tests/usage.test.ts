import assert from "node:assert/strict";
import { test } from "node:test";
import type { Forecast } from "../src/control/pages/usage/api-types";
import {
  DAY,
  dailySeries,
  dayRange,
  forecastCsv,
  forecastSeries,
  formatShare,
  readClasses,
} from "../src/control/pages/usage/series";
import { timeAxisRange } from "../src/lib/time-axis";

const FORECAST: Forecast = {
  name: "secrets",
  unit: "",
  vault: "one",
  enough: true,
  reason: "",
  points: 1,
  weekly: false,
  per_day: 1,
  history: [{ at: "2026-11-24T00:00:00Z", value: 5 }],
  band: [{ at: "2026-11-25T00:00:00Z", expected: 6, low: -2, high: 9 }],
  full_at: null,
};

test("measured and forecast values share an axis, and no band is negative", () => {
  const { band, expected, history, times } = forecastSeries(FORECAST);
  assert.deepEqual(times, [1_795_478_400, 1_795_564_800]);
  assert.deepEqual(history, [5, null]);
  assert.deepEqual(expected, [null, 6]);
  assert.deepEqual(band, { low: [null, 0], high: [null, 9] });
});

test("the CSV has every point and every step of the band", () => {
  assert.deepEqual(forecastCsv([FORECAST]).split("\r\n"), [
    "name,unit,vault,at,value,expected,low,high",
    "secrets,,one,2026-11-24T00:00:00Z,5,,,",
    "secrets,,one,2026-11-25T00:00:00Z,,6,-2,9",
    "",
  ]);
});

test("each day has a point, and a day without use is 0", () => {
  const at = (day: number) => `2026-11-${day}T00:00:00Z`;
  const points = [
    { at: at(24), count: 7, failed: 1 },
    { at: at(27), count: 2, failed: 0 },
  ];
  const found = dailySeries(points, Date.parse("2026-11-28T09:00:00Z") / 1000);
  assert.deepEqual(found.count, [7, 0, 0, 2, 0]);
  assert.deepEqual(found.failed, [1, 0, 0, 0, 0]);
  assert.equal(found.times[4], Date.parse(at(28)) / 1000);
  assert.deepEqual(dailySeries([], 1e9).times, []);
});

test("an axis spans the requested period, also on the first day", () => {
  const daily = { daily: true, span: undefined, now: 0 };
  assert.deepEqual(timeAxisRange(90 * DAY, 90 * DAY, { ...daily, from: 60 * DAY }), [
    60 * DAY,
    90 * DAY,
  ]);
  assert.deepEqual(timeAxisRange(90 * DAY, 90 * DAY, { ...daily, from: undefined }), [
    83 * DAY,
    90 * DAY,
  ]);
  assert.deepEqual(
    timeAxisRange(50, 7200, { daily: false, from: undefined, span: 3600, now: 0 }),
    [3600, 7200],
  );
  assert.deepEqual(
    timeAxisRange(50, 50, { daily: false, from: undefined, span: undefined, now: 0 }),
    [-3550, 50],
  );
});

test("an age class has a label", () => {
  assert.equal(dayRange(0, 1), "less than 1 d");
  assert.equal(dayRange(1, 7), "1 to 7 d");
  assert.equal(dayRange(365, null), "more than 365 d");
});

test("shares are formatted as percentages", () => {
  assert.equal(formatShare(942, 1000), "94.2 %");
  assert.equal(formatShare(0, 0), "–");
});

test("secrets that were never read are a class of their own", () => {
  const classes = (...counts: number[]) => counts.map((count, days) => ({ days, count }));
  assert.deepEqual(readClasses(classes(12, 0), 12), { read: classes(0, 0), exact: true }); // all new
  assert.deepEqual(readClasses(classes(0, 5), 2), { read: classes(0, 3), exact: true });
  assert.deepEqual(readClasses(classes(4, 5), 9), { read: classes(0, 0), exact: true });
  assert.deepEqual(readClasses(classes(4, 5), 0), { read: classes(4, 5), exact: true });
  assert.deepEqual(readClasses(classes(4, 5), 2), { read: classes(4, 5), exact: false }); // of which?
});
