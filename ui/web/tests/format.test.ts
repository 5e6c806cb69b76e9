import assert from "node:assert/strict";
import { test } from "node:test";
import {
  actorName,
  formatBytes,
  formatCompact,
  formatCount,
  formatDuration,
  formatMillis,
  formatPercent,
  formatRelative,
  formatTimestamp,
  humanize,
  pluralize,
  toMillis,
} from "../src/lib/format";

test("a compact number has three significant digits and an SI prefix", () => {
  const shown = [0, 7, 999, 1200, 12_345, 123_456, 4_000_000, 0.04, 0.4, -1500].map(formatCompact);
  assert.deepEqual(shown, ["0", "7", "999", "1.2k", "12.3k", "123k", "4M", "0.04", "0.4", "-1.5k"]);
});

test("unknown values are a dash", () => {
  for (const form of [formatCompact, formatBytes, formatMillis, formatPercent, formatCount]) {
    assert.equal(form(null), "–");
    assert.equal(form(undefined), "–");
  }
  assert.equal(formatCompact(Number.NaN), "–");
  assert.equal(formatPercent(Number.POSITIVE_INFINITY), "–");
});

test("units follow the size", () => {
  assert.deepEqual([0, 1023, 1536, 5 * 1024 ** 3].map(formatBytes), [
    "0 B",
    "1023 B",
    "1.5 KiB",
    "5 GiB",
  ]);
  assert.deepEqual([0.84, 12.4, 999, 1200].map(formatMillis), [
    "0.8 ms",
    "12 ms",
    "999 ms",
    "1.2 s",
  ]);
  assert.deepEqual([0.9999, 0.94171, 1, 0].map(formatPercent), [
    "99.99 %",
    "94.2 %",
    "100 %",
    "0 %",
  ]);
  assert.deepEqual([0, 59, 60, 7200, 90_000].map(formatDuration), [
    "0 s",
    "59 s",
    "1 min",
    "2 h",
    "1 d",
  ]);
});

test("relative times before and after now", () => {
  const now = 1_000_000_000_000;
  assert.equal(formatRelative(now - 1000, now), "now");
  assert.equal(formatRelative(now - 42_000, now), "42 s ago");
  assert.equal(formatRelative(now + 3 * 3_600_000, now), "in 3 h");
});

test("an exact time in UTC ends with Z", () => {
  assert.equal(formatTimestamp(Date.UTC(2026, 10, 24, 21, 3, 5), "utc"), "2026-11-24 21:03:05Z");
  assert.equal(formatTimestamp(Date.UTC(2026, 10, 24, 21, 3, 5)).length, 19);
});

test("times are RFC 3339 or Unix seconds, and none is null", () => {
  assert.equal(toMillis("2026-11-24T21:00:00Z"), Date.UTC(2026, 10, 24, 21));
  assert.equal(toMillis(1_700_000_000), 1_700_000_000_000);
  for (const none of [0, "", null, undefined, "yesterday"]) assert.equal(toMillis(none), null);
});

test("names become readable text", () => {
  assert.equal(humanize("rolled_back"), "Rolled back");
  assert.equal(humanize("agents.lock"), "Agents lock");
  assert.equal(pluralize(1, "agent"), "1 agent");
  assert.equal(pluralize(10_000, "agent"), "10,000 agents");
  assert.equal(pluralize(2, "policy", "policies"), "2 policies");
});

test("a record without an actor is not signed in or of the control plane", () => {
  assert.equal(actorName({ actor: "acme/ann", ip: "192.0.2.1" }), "acme/ann");
  assert.equal(actorName({ actor: "", ip: "192.0.2.1" }), "Not signed in");
  assert.equal(actorName({ actor: "", ip: "" }), "Control plane");
});
