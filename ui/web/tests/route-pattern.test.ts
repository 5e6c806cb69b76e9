import assert from "node:assert/strict";
import { test } from "node:test";
import { matchPattern } from "../src/lib/route-pattern";

test("parameters of a pattern are decoded", () => {
  assert.deepEqual(matchPattern("/agents/:vault", "/agents/one"), { vault: "one" });
  assert.deepEqual(matchPattern("/policies/:name/:version", "/policies/a%20b/3"), {
    name: "a b",
    version: "3",
  });
  assert.deepEqual(matchPattern("/", "/"), {});
  assert.deepEqual(matchPattern("/fleet", "/fleet/"), {});
});

test("other paths do not match", () => {
  assert.equal(matchPattern("/agents/:vault", "/agents"), null);
  assert.equal(matchPattern("/agents/:vault", "/agents/one/two"), null);
  assert.equal(matchPattern("/fleet", "/Fleet"), null);
  assert.equal(matchPattern("/", "/fleet"), null);
});

test("an invalid escape is kept as text", () => {
  assert.deepEqual(matchPattern("/agents/:vault", "/agents/%E0%A4%A"), { vault: "%E0%A4%A" });
});

test("an encoded slash stays in its parameter", () => {
  assert.deepEqual(matchPattern("/agents/:vault", "/agents/a%2Fb"), { vault: "a/b" });
});
