import assert from "node:assert/strict";
import { test } from "node:test";
import { diff } from "../src/lib/diff";

const shown = (before: string, after: string) =>
  diff(before, after).map(({ kind, text }) => ({ same: " ", gone: "-", new: "+" })[kind] + text);

test("lines that stay are told as such, between what goes and what comes", () => {
  assert.deepEqual(shown("a\nb\nc\n", "a\nx\nc\nd\n"), [" a", "-b", "+x", " c", "+d"]);
});

test("nothing before or after is all new or all gone", () => {
  assert.deepEqual(shown("", "a\nb"), ["+a", "+b"]);
  assert.deepEqual(shown("a", ""), ["-a"]);
  assert.deepEqual(shown("", ""), []);
});

test("both texts can be read back from the lines", () => {
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

test("what is too long to compare is told as replaced", () => {
  const long = "x\n".repeat(3000);
  const lines = diff(long, "x");
  assert.equal(lines.filter(({ kind }) => kind === "gone").length, 3000);
  assert.equal(lines.at(-1)?.kind, "new");
});
