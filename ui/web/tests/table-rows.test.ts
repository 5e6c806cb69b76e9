import assert from "node:assert/strict";
import { test } from "node:test";
import { nextOrder, scrollToShow, sortRows, visibleRows } from "../src/lib/table-rows";

test("missing values sort last in both directions, and the sort is stable", () => {
  const rows = [3, null, 1, Number.NaN, 2].map((n, at) => ({ n, at }));
  const up = sortRows(rows, row => row.n, false).map(row => row.n);
  const down = sortRows(rows, row => row.n, true).map(row => row.n);
  assert.deepEqual(up, [1, 2, 3, null, Number.NaN]);
  assert.deepEqual(down, [3, 2, 1, null, Number.NaN]);
  assert.deepEqual(
    sortRows(["b", "a", "a"], text => text, false),
    ["a", "a", "b"],
  );
});

test("sorting does not change its argument", () => {
  const rows = [2, 1];
  sortRows(rows, n => n, false);
  assert.deepEqual(rows, [2, 1]);
});

test("a second click reverses the order, another column starts ascending", () => {
  const first = nextOrder(null, "name");
  assert.deepEqual(first, { column: "name", descending: false });
  assert.deepEqual(nextOrder(first, "name"), { column: "name", descending: true });
  assert.deepEqual(nextOrder(nextOrder(first, "name"), "state"), {
    column: "state",
    descending: false,
  });
});

test("only rows near the viewport are drawn", () => {
  assert.deepEqual(visibleRows(10_000, 36, 36_000, 360), { first: 992, end: 1018 });
  assert.deepEqual(visibleRows(3, 36, 0, 360), { first: 0, end: 3 });
  assert.deepEqual(visibleRows(0, 36, 0, 360), { first: 0, end: 0 });
  const shrunk = visibleRows(5, 36, 36_000, 360); // scrolled far, then filtered to a few
  assert.ok(shrunk.first < 5 && shrunk.end === 5);
});

test("the selected row is scrolled into view by the shortest distance", () => {
  assert.equal(scrollToShow(0, 36, 100, 400, 36), 0);
  assert.equal(scrollToShow(20, 36, 0, 400, 36), 20 * 36 + 36 - 400 + 36);
  assert.equal(scrollToShow(3, 36, 0, 400, 36), null);
});
