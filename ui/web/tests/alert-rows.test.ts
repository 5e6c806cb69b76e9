import assert from "node:assert/strict";
import { test } from "node:test";
import { alertQuery, filterAlerts, mergeAlerts } from "../src/control/pages/alerts/alert-rows";
import type { AlertRow } from "../src/lib/api-types";
import type { WithKey } from "../src/lib/collection";

const row = (key: string, at: number, note = "") => ({ key, at, note }) as WithKey<AlertRow>;
const ANY = { text: "", severity: "", state: "", vault: "" };

test("the server gets the same filter", () => {
  assert.deepEqual(alertQuery(ANY), {});
  assert.deepEqual(alertQuery({ ...ANY, text: " off ", severity: "info", vault: "one" }), {
    text: "off",
    severity: "info",
    vault: "one",
  });
  assert.deepEqual(alertQuery({ ...ANY, state: "open" }), { state: "open" });
});

test("alerts are merged by key, live rows win, newest first", () => {
  const rows = mergeAlerts([row("b", 2, "live")], [row("b", 2), row("c", 2), row("a", 3)]);
  assert.deepEqual(
    rows.map(({ key, note }) => [key, note]),
    [
      ["a", ""],
      ["b", "live"],
      ["c", ""],
    ],
  );
});

test("open alerts come first and are found by state", () => {
  const rows = [
    { ...row("a", 3), state: "resolved" },
    { ...row("b", 2), state: "acknowledged" },
    { ...row("c", 1), state: "firing" },
  ] as WithKey<AlertRow>[];
  const keys = (state: string) => filterAlerts(rows, { ...ANY, state }).map(({ key }) => key);
  assert.deepEqual(keys(""), ["b", "c", "a"]);
  assert.deepEqual(keys("open"), ["b", "c"]);
  assert.deepEqual(keys("firing"), ["c"]);
  assert.deepEqual(keys("resolved"), ["a"]);
});
