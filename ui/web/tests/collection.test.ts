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

test("a snapshot is everything, changes are laid over it, null takes a row away", () => {
  const made = new Collection<Row>();
  assert.equal(made.freshness.value, "loading");
  assert.ok(
    made.apply({ id: 1, seq: 1, snapshot: { a: { name: "A", load: 1 }, b: { name: "B" } } }),
  );
  assert.equal(made.freshness.value, "live");
  assert.ok(made.apply({ id: 1, seq: 2, rows: { a: { load: 2 }, b: null, c: { name: "C" } } }));
  assert.deepEqual(rows(made), { a: { name: "A", load: 2 }, c: { name: "C" } });
});

test("a row that did not change is the same object, one that did is another", () => {
  const made = new Collection<Row>();
  made.apply({ id: 1, seq: 1, snapshot: { a: { name: "A" }, b: { name: "B" } } });
  const [a, b] = [made.rows.get("a"), made.rows.get("b")];
  made.apply({ id: 1, seq: 2, rows: { a: { load: null } } });
  assert.notEqual(made.rows.get("a"), a);
  assert.equal(made.rows.get("b"), b);
});

test("a snapshot in pieces is shown when it is whole", () => {
  const made = new Collection<Row>();
  made.apply({ id: 1, seq: 1, snapshot: { old: { name: "old" } } });
  const version = made.version.value;
  assert.ok(made.apply({ id: 1, seq: 2, snapshot: { a: { name: "A" } }, more: true }));
  assert.deepEqual(rows(made), { old: { name: "old" } });
  assert.ok(made.apply({ id: 1, seq: 3, snapshot: { b: { name: "B" } } }));
  assert.deepEqual(rows(made), { a: { name: "A" }, b: { name: "B" } });
  assert.equal(made.version.value, version + 1);
});

test("a snapshot that begins anew leaves no ghost of the one before", () => {
  const made = new Collection<Row>();
  made.apply({ id: 1, seq: 1, snapshot: { a: { name: "A" }, ghost: { name: "G" } }, more: true });
  made.apply({ id: 1, seq: 2, snapshot: { a: { name: "A2" } }, more: true });
  made.apply({ id: 1, seq: 3, snapshot: { b: { name: "B" } } });
  assert.deepEqual(rows(made), { a: { name: "A2" }, b: { name: "B" } });
});

test("a gap is told, and nothing of it is shown", () => {
  const made = new Collection<Row>();
  assert.equal(made.apply({ id: 1, seq: 1, rows: { a: { name: "A" } } }), false);
  made.apply({ id: 1, seq: 1, snapshot: { a: { name: "A" } } });
  assert.equal(made.apply({ id: 1, seq: 3, rows: { a: { name: "lost" } } }), false);
  assert.equal(made.apply({ id: 1, seq: 1, rows: { a: { name: "twice" } } }), false);
  assert.deepEqual(rows(made), { a: { name: "A" } });
});

test("a snapshot is taken at any number: the server skips what a slow browser missed", () => {
  const made = new Collection<Row>();
  made.apply({ id: 1, seq: 1, snapshot: { a: { name: "A" } } });
  assert.ok(made.apply({ id: 1, seq: 9, snapshot: { b: { name: "B" } } }));
  assert.ok(made.apply({ id: 1, seq: 10, rows: { b: { load: 3 } } }));
  assert.deepEqual(rows(made), { b: { name: "B", load: 3 } });
});

test("a refusal says why", () => {
  const made = new Collection<Row>();
  const error = { code: "not_found", message: "there is no such agent" };
  assert.ok(made.apply({ id: 1, seq: 0, error }));
  assert.equal(made.error.value?.code, "not_found");
});

test("a busy collection is drawn ten times a second, the last change never left out", () => {
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
