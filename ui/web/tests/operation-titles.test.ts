import assert from "node:assert/strict";
import { test } from "node:test";
import { operationTitle } from "../src/control/operation-titles";

test("what was done is told as people speak, what was not by its name", () => {
  assert.equal(operationTitle({ operation: "users.create_user", result: "ok" }), "Account created");
  assert.equal(
    operationTitle({ operation: "users.create_user", result: "denied" }),
    "Users create user",
  );
  assert.equal(
    operationTitle({ operation: "things.made_later", result: "ok" }),
    "Things made later",
  );
});
