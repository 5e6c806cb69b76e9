import assert from "node:assert/strict";
import { test } from "node:test";
import { fit } from "../src/lib/pattern";

test("a pattern's places are what stands there, decoded", () => {
  assert.deepEqual(fit("/agents/:vault", "/agents/one"), { vault: "one" });
  assert.deepEqual(fit("/policies/:name/:version", "/policies/a%20b/3"), {
    name: "a b",
    version: "3",
  });
  assert.deepEqual(fit("/", "/"), {});
  assert.deepEqual(fit("/fleet", "/fleet/"), {});
});

test("what does not fit is no page", () => {
  assert.equal(fit("/agents/:vault", "/agents"), null);
  assert.equal(fit("/agents/:vault", "/agents/one/two"), null);
  assert.equal(fit("/fleet", "/Fleet"), null);
  assert.equal(fit("/", "/fleet"), null);
});

test("a broken escape breaks nothing", () => {
  assert.deepEqual(fit("/agents/:vault", "/agents/%E0%A4%A"), { vault: "%E0%A4%A" });
});

test("an encoded slash stays inside its place", () => {
  assert.deepEqual(fit("/agents/:vault", "/agents/a%2Fb"), { vault: "a/b" });
});
