import assert from "node:assert/strict";
import { test } from "node:test";
import { dateRange, lastDays } from "../src/control/pages/compliance/period";

const NOW = Date.UTC(2026, 10, 24, 12); // milliseconds
const at = (...date: [number, number, number]) => Date.UTC(...date) / 1000;

test("the last days end now", () => {
  assert.deepEqual(lastDays(30, NOW), { since: NOW / 1000 - 30 * 86_400, until: NOW / 1000 });
});

test("a date range covers whole days, including the last, and never ends after now", () => {
  assert.deepEqual(dateRange("2026-01-01", "2026-03-31", NOW), {
    since: at(2026, 0, 1),
    until: at(2026, 3, 1),
  });
  assert.deepEqual(dateRange("2026-11-24", "2026-11-24", NOW), {
    since: at(2026, 10, 24),
    until: NOW / 1000,
  });
});

test("invalid or reversed dates give no range", () => {
  for (const [from, to] of [
    ["", ""],
    ["2026-1-1", "2026-02-01"],
    ["2026-13-01", "2026-13-02"],
    ["2026-03-01", "2026-01-01"],
    ["2027-01-01", "2027-02-01"],
  ] as const)
    assert.equal(dateRange(from, to, NOW), null, `${from} ${to}`);
});
