import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Collection } from "../src/lib/collection";

interface Row {
  name: string;
  load?: number | null;
}

/** The rows by key, which each row has as well. */
function rows(collection: Collection<Row>): Record<string, Row> {
  for (const [key, row] of collection.rows) assert.equal(row.key, key);
  return Object.fromEntries(collection.list().map(({ key, ...row }) => [key, row]));
}

test("changes apply to a snapshot, and null removes a row", () => {
  const made = new Collection<Row>();
  assert.equal(made.freshness.value, "loading");
  assert.ok(
    made.apply({ id: 1, seq: 1, snapshot: { a: { name: "A", load: 1 }, b: { name: "B" } } }),
  );
  assert.equal(made.freshness.value, "live");
  assert.ok(made.apply({ id: 1, seq: 2, rows: { a: { load: 2 }, b: null, c: { name: "C" } } }));
  assert.deepEqual(rows(made), { a: { name: "A", load: 2 }, c: { name: "C" } });
});

test("only changed rows are new objects", () => {
  const made = new Collection<Row>();
  made.apply({ id: 1, seq: 1, snapshot: { a: { name: "A" }, b: { name: "B" } } });
  const [a, b] = [made.rows.get("a"), made.rows.get("b")];
  made.apply({ id: 1, seq: 2, rows: { a: { load: null } } });
  assert.notEqual(made.rows.get("a"), a);
  assert.equal(made.rows.get("b"), b);
});

test("a snapshot in parts is shown when it is complete", () => {
  const made = new Collection<Row>();
  made.apply({ id: 1, seq: 1, snapshot: { old: { name: "old" } } });
  const version = made.version.value;
  assert.ok(made.apply({ id: 1, seq: 2, snapshot: { a: { name: "A" } }, more: true }));
  assert.deepEqual(rows(made), { old: { name: "old" } });
  assert.ok(made.apply({ id: 1, seq: 3, snapshot: { b: { name: "B" } } }));
  assert.deepEqual(rows(made), { a: { name: "A" }, b: { name: "B" } });
  assert.equal(made.version.value, version + 1);
});

test("a restarted snapshot keeps no rows of the previous one", () => {
  const made = new Collection<Row>();
  made.apply({ id: 1, seq: 1, snapshot: { a: { name: "A" }, ghost: { name: "G" } }, more: true });
  made.apply({ id: 1, seq: 2, snapshot: { a: { name: "A2" } }, more: true });
  made.apply({ id: 1, seq: 3, snapshot: { b: { name: "B" } } });
  assert.deepEqual(rows(made), { a: { name: "A2" }, b: { name: "B" } });
});

test("a missing frame is reported and not applied", () => {
  const made = new Collection<Row>();
  assert.equal(made.apply({ id: 1, seq: 1, rows: { a: { name: "A" } } }), false);
  made.apply({ id: 1, seq: 1, snapshot: { a: { name: "A" } } });
  assert.equal(made.apply({ id: 1, seq: 3, rows: { a: { name: "lost" } } }), false);
  assert.equal(made.apply({ id: 1, seq: 1, rows: { a: { name: "twice" } } }), false);
  assert.deepEqual(rows(made), { a: { name: "A" } });
});

test("a snapshot is accepted with any sequence number", () => {
  const made = new Collection<Row>();
  made.apply({ id: 1, seq: 1, snapshot: { a: { name: "A" } } });
  assert.ok(made.apply({ id: 1, seq: 9, snapshot: { b: { name: "B" } } }));
  assert.ok(made.apply({ id: 1, seq: 10, rows: { b: { load: 3 } } }));
  assert.deepEqual(rows(made), { b: { name: "B", load: 3 } });
});

test("a refused watch has an error", () => {
  const made = new Collection<Row>();
  const error = { code: "not_found", message: "there is no such agent" };
  assert.ok(made.apply({ id: 1, seq: 0, error }));
  assert.equal(made.error.value?.code, "not_found");
});

test("a busy collection renders ten times a second and includes the last change", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const made = new Collection<Row>();
  made.apply({ id: 1, seq: 1, snapshot: { a: { name: "A" } } });
  const begun = made.version.value;
  for (let seq = 2; seq < 50; seq++) made.apply({ id: 1, seq, rows: { a: { load: seq } } });
  assert.equal(made.version.value, begun);
  mock.timers.tick(100);
  assert.equal(made.version.value, begun + 1);
  assert.equal(made.rows.get("a")?.load, 49);
  mock.timers.tick(1000);
  assert.equal(made.version.value, begun + 1);
  mock.timers.reset();
});
