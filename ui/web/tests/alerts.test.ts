import assert from "node:assert/strict";
import { test } from "node:test";
import type { Keyed } from "../src/lib/collection";
import type { AlertRow } from "../src/lib/types";
import { queryOf, together } from "../src/pages/alerts/rows";

const row = (key: string, at: number, note = "") => ({ key, at, note }) as Keyed<AlertRow>;
const ANY = { text: "", severity: "", state: "", vault: "" };

test("the server is asked for what is shown, and for no more", () => {
  assert.deepEqual(queryOf(ANY), {});
  assert.deepEqual(queryOf({ ...ANY, text: " off ", severity: "info", vault: "one" }), {
    text: "off",
    severity: "info",
    vault: "one",
  });
  assert.deepEqual(queryOf({ ...ANY, state: "open" }), { unacknowledged: true });
  assert.deepEqual(queryOf({ ...ANY, state: "seen" }), { acknowledged: true });
});

test("each alert is there once, as the live feed has it, the newest first", () => {
  const rows = together([row("b", 2, "live")], [row("b", 2), row("c", 2), row("a", 3)]);
  assert.deepEqual(
    rows.map(({ key, note }) => [key, note]),
    [
      ["a", ""],
      ["b", "live"],
      ["c", ""],
    ],
  );
});
