import assert from "node:assert/strict";
import { test } from "node:test";
import { operationTitle } from "../src/control/operation-titles";

test("successful operations have titles, failed ones their names", () => {
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
