import assert from "node:assert/strict";
import { test } from "node:test";
import { FIELDS, type Filters, queryOf } from "../src/pages/audit/wire";

const NONE = Object.fromEntries(FIELDS.map(name => [name, ""])) as Filters;

test("filters that are empty are not asked for, times are seconds with the last minute", () => {
  assert.deepEqual(queryOf(NONE), {});
  const filters = {
    ...NONE,
    actor: "acme/ann",
    since: "2026-11-24T10:00Z",
    until: "2026-11-24T10:00Z",
  };
  const at = Date.UTC(2026, 10, 24, 10) / 1000;
  assert.deepEqual(queryOf(filters), { actor: "acme/ann", since: at, until: at + 60 });
});
