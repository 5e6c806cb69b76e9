import assert from "node:assert/strict";
import { test } from "node:test";
import { matchPattern } from "../src/lib/route-pattern";

test("a pattern's places are what stands there, decoded", () => {
  assert.deepEqual(matchPattern("/agents/:vault", "/agents/one"), { vault: "one" });
  assert.deepEqual(matchPattern("/policies/:name/:version", "/policies/a%20b/3"), {
    name: "a b",
    version: "3",
  });
  assert.deepEqual(matchPattern("/", "/"), {});
  assert.deepEqual(matchPattern("/fleet", "/fleet/"), {});
});

test("what does not fit is no page", () => {
  assert.equal(matchPattern("/agents/:vault", "/agents"), null);
  assert.equal(matchPattern("/agents/:vault", "/agents/one/two"), null);
  assert.equal(matchPattern("/fleet", "/Fleet"), null);
  assert.equal(matchPattern("/", "/fleet"), null);
});

test("a broken escape breaks nothing", () => {
  assert.deepEqual(matchPattern("/agents/:vault", "/agents/%E0%A4%A"), { vault: "%E0%A4%A" });
});

test("an encoded slash stays inside its place", () => {
  assert.deepEqual(matchPattern("/agents/:vault", "/agents/a%2Fb"), { vault: "a/b" });
});
