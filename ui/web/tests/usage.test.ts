import assert from "node:assert/strict";
import { test } from "node:test";
import { course, table } from "../src/pages/usage/course";
import type { Forecast } from "../src/pages/usage/wire";

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

test("past and future share an axis, and nothing is less than none", () => {
  const { band, expected, history, times } = course(FORECAST);
  assert.deepEqual(times, [1_795_478_400, 1_795_564_800]);
  assert.deepEqual(history, [5, null]);
  assert.deepEqual(expected, [null, 6]);
  assert.deepEqual(band, { low: [null, 0], high: [null, 9] });
});

test("a table has every point and every step of the band", () => {
  assert.deepEqual(table([FORECAST]).split("\r\n"), [
    "name,unit,vault,at,value,expected,low,high",
    "secrets,,one,2026-11-24T00:00:00Z,5,,,",
    "secrets,,one,2026-11-25T00:00:00Z,,6,-2,9",
    "",
  ]);
});
