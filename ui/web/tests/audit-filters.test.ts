import assert from "node:assert/strict";
import { test } from "node:test";
import { type AuditFilters, auditQuery, FILTER_FIELDS } from "../src/control/pages/audit/api-types";

const NONE = Object.fromEntries(FILTER_FIELDS.map(name => [name, ""])) as AuditFilters;

test("empty filters are left out, and times are seconds including the last minute", () => {
  assert.deepEqual(auditQuery(NONE), {});
  const filters = {
    ...NONE,
    actor: "acme/ann",
    since: "2026-11-24T10:00Z",
    until: "2026-11-24T10:00Z",
  };
  const at = Date.UTC(2026, 10, 24, 10) / 1000;
  assert.deepEqual(auditQuery(filters), { actor: "acme/ann", since: at, until: at + 60 });
});
