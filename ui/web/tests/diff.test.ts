import assert from "node:assert/strict";
import { test } from "node:test";
import { diff } from "../src/lib/diff";

const shown = (before: string, after: string) =>
  diff(before, after).map(({ kind, text }) => ({ same: " ", gone: "-", new: "+" })[kind] + text);

test("common lines stay between removed and added lines", () => {
  assert.deepEqual(shown("a\nb\nc\n", "a\nx\nc\nd\n"), [" a", "-b", "+x", " c", "+d"]);
});

test("an empty side makes all lines added or removed", () => {
  assert.deepEqual(shown("", "a\nb"), ["+a", "+b"]);
  assert.deepEqual(shown("a", ""), ["-a"]);
  assert.deepEqual(shown("", ""), []);
});

test("both texts can be restored from the diff", () => {
  const [before, after] = ["1\n2\n3\n4\n5", "2\n2\n3\n6\n5\n7"];
  const lines = diff(before, after);
  const side = (gone: string) =>
    lines
      .filter(({ kind }) => kind !== gone)
      .map(({ text }) => text)
      .join("\n");
  assert.equal(side("new"), before);
  assert.equal(side("gone"), after);
});

test("texts that are too long are shown as replaced", () => {
  const long = "x\n".repeat(3000);
  const lines = diff(long, "x");
  assert.equal(lines.filter(({ kind }) => kind === "gone").length, 3000);
  assert.equal(lines.at(-1)?.kind, "new");
});
