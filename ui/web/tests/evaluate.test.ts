import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { evaluatePolicy } from "../src/control/pages/policy/evaluate";
import type { PolicyDocument, PolicyRule } from "../src/lib/api-types";

type Case = [path: string, capability: string, effect: string, rule: string];

const VECTORS = "../../tests/vectors/policy_paths.json"; // the agent's own tests read them, too
const { rules, cases } = JSON.parse(readFileSync(VECTORS, "utf8")) as {
  rules: PolicyRule[];
  cases: Case[];
};
const IF = [{ type: "mfa_present" }];

function judged(...given: PolicyRule[]) {
  return evaluatePolicy({ rules: given }, "a/b", "read");
}

const allow: PolicyRule = { effect: "allow", paths: ["a/*"], capabilities: ["read"] };
const deny: PolicyRule = { ...allow, effect: "deny" };

test("paths and capabilities are evaluated as by the agent", () => {
  for (const [path, capability, effect, rule] of cases) {
    const found = evaluatePolicy({ rules }, path, capability);
    const told = { effect: found.effect, rule: found.rule, conditional: found.conditional };
    assert.deepEqual(told, { effect, rule, conditional: false }, `${capability} ${path}`);
  }
});

test("a disabled policy decides nothing", () => {
  const document: PolicyDocument = { enabled: false, rules: [allow] };
  assert.equal(evaluatePolicy(document, "a/b", "read").effect, "none");
});

test("a decision with conditions is conditional", () => {
  assert.deepEqual(judged({ ...allow, conditions: IF }), {
    effect: "allow",
    rule: "rules[0]",
    conditional: true,
  });
  assert.equal(judged(allow, { ...deny, conditions: IF }).effect, "allow");
  assert.equal(judged(allow, { ...deny, conditions: IF }).conditional, true);
  assert.equal(judged({ ...deny, conditions: IF }).effect, "deny");
  assert.equal(evaluatePolicy({ rules: [allow], conditions: IF }, "a/b", "read").conditional, true);
});

test("an unconditional deny wins and is not conditional", () => {
  const found = judged(allow, { ...deny, conditions: IF }, deny);
  assert.deepEqual(found, { effect: "deny", rule: "rules[2]", conditional: false });
});
