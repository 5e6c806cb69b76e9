import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ago,
  bytes,
  compact,
  count,
  duration,
  instant,
  millis,
  moment,
  percent,
  plural,
  whoOf,
  words,
} from "../src/lib/format";

test("a figure has at most three digits that count, and a letter for its size", () => {
  const shown = [0, 7, 999, 1200, 12_345, 123_456, 4_000_000, 0.04, 0.4, -1500].map(compact);
  assert.deepEqual(shown, ["0", "7", "999", "1.2k", "12.3k", "123k", "4M", "0.04", "0.4", "-1.5k"]);
});

test("what is not known is a dash, never a zero", () => {
  for (const form of [compact, bytes, millis, percent, count]) {
    assert.equal(form(null), "–");
    assert.equal(form(undefined), "–");
  }
  assert.equal(compact(Number.NaN), "–");
  assert.equal(percent(Number.POSITIVE_INFINITY), "–");
});

test("units follow the size", () => {
  assert.deepEqual([0, 1023, 1536, 5 * 1024 ** 3].map(bytes), [
    "0 B",
    "1023 B",
    "1.5 KiB",
    "5 GiB",
  ]);
  assert.deepEqual([0.84, 12.4, 999, 1200].map(millis), ["0.8 ms", "12 ms", "999 ms", "1.2 s"]);
  assert.deepEqual([0.9999, 0.94171, 1, 0].map(percent), ["99.99 %", "94.2 %", "100 %", "0 %"]);
  assert.deepEqual([0, 59, 60, 7200, 90_000].map(duration), ["0 s", "59 s", "1 min", "2 h", "1 d"]);
});

test("times are told from now, before and after", () => {
  const now = 1_000_000_000_000;
  assert.equal(ago(now - 1000, now), "now");
  assert.equal(ago(now - 42_000, now), "42 s ago");
  assert.equal(ago(now + 3 * 3_600_000, now), "in 3 h");
});

test("an exact time in UTC says so", () => {
  assert.equal(moment(Date.UTC(2026, 10, 24, 21, 3, 5), "utc"), "2026-11-24 21:03:05Z");
  assert.equal(moment(Date.UTC(2026, 10, 24, 21, 3, 5)).length, 19);
});

test("a time is RFC 3339 or Unix seconds, and none stays none", () => {
  assert.equal(instant("2026-11-24T21:00:00Z"), Date.UTC(2026, 10, 24, 21));
  assert.equal(instant(1_700_000_000), 1_700_000_000_000);
  for (const none of [0, "", null, undefined, "yesterday"]) assert.equal(instant(none), null);
});

test("words of the wire become words for people", () => {
  assert.equal(words("rolled_back"), "Rolled back");
  assert.equal(words("agents.lock"), "Agents lock");
  assert.equal(plural(1, "agent"), "1 agent");
  assert.equal(plural(10_000, "agent"), "10,000 agents");
  assert.equal(plural(2, "policy", "policies"), "2 policies");
});

test("a record without an actor says who it was as well as it can be said", () => {
  assert.equal(whoOf({ actor: "acme/ann", ip: "192.0.2.1" }), "acme/ann");
  assert.equal(whoOf({ actor: "", ip: "192.0.2.1" }), "nobody signed in");
  assert.equal(whoOf({ actor: "", ip: "" }), "the control plane");
});
