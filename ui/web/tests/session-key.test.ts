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
const { clearSessionKey, setSessionKey, sessionKey, onSessionKeyChange } = await import(
  "../src/lib/session-key"
);
let changes = 0;
onSessionKeyChange(() => changes++);

/** What another tab does with the storage, and what this one is told of it. */
function elsewhere(value: string | null, key: string | null = KEY): number {
  if (key === KEY && value !== null) kept.set(KEY, value);
  else if (value === null) kept.delete(KEY);
  const before = changes;
  for (const hear of listeners) hear({ key });
  return changes - before;
}

test("a reloaded page has the stored key", () => {
  assert.equal(sessionKey(), "from-before");
});

test("signing in and out applies to all tabs", () => {
  setSessionKey("mine");
  assert.deepEqual([sessionKey(), kept.get(KEY)], ["mine", "mine"]);
  clearSessionKey();
  assert.deepEqual([sessionKey(), kept.has(KEY)], ["", false]);
});

test("a change in another tab is reported once", () => {
  setSessionKey("mine");
  assert.equal(elsewhere("another"), 1);
  assert.equal(sessionKey(), "another");
  assert.equal(elsewhere("another"), 0);
  assert.equal(elsewhere("x", "freehold-theme"), 0);
  assert.equal(elsewhere(null, null), 1); // the storage was cleared
  assert.equal(sessionKey(), "");
});

test("ending a session keeps the newer key of another tab", () => {
  setSessionKey("mine");
  kept.set(KEY, "another"); // of which this tab has not heard yet
  clearSessionKey();
  assert.deepEqual([sessionKey(), kept.get(KEY)], ["", "another"]);
  assert.equal(elsewhere("another"), 1);
  assert.equal(sessionKey(), "another");
});
