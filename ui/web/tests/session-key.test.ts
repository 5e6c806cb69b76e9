import assert from "node:assert/strict";
import { test } from "node:test";

const KEY = "freehold-session-key";
const kept = new Map<string, string>([[KEY, "from-before"]]);
const listeners: ((event: { key: string | null }) => void)[] = [];
Object.assign(globalThis, {
  localStorage: {
    getItem: (name: string) => kept.get(name) ?? null,
    setItem: (name: string, value: string) => kept.set(name, value),
    removeItem: (name: string) => kept.delete(name),
  },
  addEventListener: (_kind: string, hear: (event: { key: string | null }) => void) =>
    listeners.push(hear),
});
const { dropSessionKey, holdSessionKey, sessionKey, watchSessionKey } = await import(
  "../src/lib/session-key"
);
let changes = 0;
watchSessionKey(() => changes++);

/** What another tab does with the storage, and what this one is told of it. */
function elsewhere(value: string | null, key: string | null = KEY): number {
  if (key === KEY && value !== null) kept.set(KEY, value);
  else if (value === null) kept.delete(KEY);
  const before = changes;
  for (const hear of listeners) hear({ key });
  return changes - before;
}

test("a page that is loaded anew has the key of before", () => {
  assert.equal(sessionKey(), "from-before");
});

test("signing in and out is for every tab", () => {
  holdSessionKey("mine");
  assert.deepEqual([sessionKey(), kept.get(KEY)], ["mine", "mine"]);
  dropSessionKey();
  assert.deepEqual([sessionKey(), kept.has(KEY)], ["", false]);
});

test("what another tab does is heard once", () => {
  holdSessionKey("mine");
  assert.equal(elsewhere("another"), 1);
  assert.equal(sessionKey(), "another");
  assert.equal(elsewhere("another"), 0);
  assert.equal(elsewhere("x", "freehold-theme"), 0);
  assert.equal(elsewhere(null, null), 1); // the storage was cleared
  assert.equal(sessionKey(), "");
});

test("the end of this tab's session does not take another's along", () => {
  holdSessionKey("mine");
  kept.set(KEY, "another"); // of which this tab has not heard yet
  dropSessionKey();
  assert.deepEqual([sessionKey(), kept.get(KEY)], ["", "another"]);
  assert.equal(elsewhere("another"), 1);
  assert.equal(sessionKey(), "another");
});
