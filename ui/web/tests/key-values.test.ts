import assert from "node:assert/strict";
import { test } from "node:test";
import { formatKeyValues, mergePatch, parseKeyValues, parseList } from "../src/agent/key-values";

test("lists are parsed with any spacing", () => {
  assert.deepEqual(parseList(" a, b\nc,, "), ["a", "b", "c"]);
  assert.deepEqual(parseList(""), []);
});

test("key-value pairs round-trip, including colons in values", () => {
  const pairs = { env: "prod", url: "https://x:1" };
  assert.deepEqual(parseKeyValues(formatKeyValues(pairs)), pairs);
  assert.deepEqual(parseKeyValues("\n a : b \n\n"), { a: "b" });
});

test("an invalid line is named", () => {
  assert.throws(() => parseKeyValues("a: b\nnonsense"), /Line 2/);
  assert.throws(() => parseKeyValues(": b"), /Line 1/);
});

test("a removed key is null in the patch", () => {
  assert.deepEqual(mergePatch({ a: "1", b: "2" }, { b: "3", c: "4" }), { a: null, b: "3", c: "4" });
  assert.deepEqual(mergePatch({}, {}), {});
});
