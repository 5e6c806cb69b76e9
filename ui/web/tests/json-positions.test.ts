import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonPositions, lineOfField } from "../src/lib/json-positions";

const POLICY = `{
  "rules": [
    {"effect": "allow", "paths": ["a"]},
    {
      "effect": "deny",
      "paths": [
        "b",
        7
      ]
    }
  ],
  "odd.name": "x\\ny"
}`;

test("a field is found at its line", () => {
  assert.equal(lineOfField(POLICY, "rules"), 2);
  assert.equal(lineOfField(POLICY, "rules[0].paths[0]"), 3);
  assert.equal(lineOfField(POLICY, "rules[1].paths[1]"), 8);
  assert.equal(lineOfField(POLICY, ""), 1);
});

test("a missing field is found at its nearest parent", () => {
  assert.equal(lineOfField(POLICY, "rules[1].conditions[4].type"), 4);
  assert.equal(lineOfField(POLICY, "rules[9]"), 2);
  assert.equal(lineOfField(POLICY, "nothing"), 1);
});

test("valid JSON has no error", () => {
  for (const text of [
    POLICY,
    "[]",
    " {} ",
    '"\\u00e9"',
    "-0.5e+3",
    '"\u007f\u0085"',
    '{"a":{"a":[null,true]}}',
  ])
    assert.equal(jsonPositions(text).errorAt, null, text);
});

test("an error is at the first unexpected character", () => {
  const wrong: [string, number][] = [
    ["", 0],
    ["{", 1],
    ['{"a" 1}', 5],
    ['{"a": 1,}', 8],
    ["[1 2]", 3],
    ["{} x", 3],
    ["[01]", 2],
    ['["\n"]', 1],
    ['["\u0000"]', 1],
    ["nul", 0],
  ];
  for (const [text, at] of wrong) assert.equal(jsonPositions(text).errorAt, at, text);
  for (const [text] of wrong) assert.throws(() => JSON.parse(text));
});

test("depth is bounded", () => {
  assert.notEqual(jsonPositions("[".repeat(100_000)).errorAt, null);
});
