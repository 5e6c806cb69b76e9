import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Agent,
  filterAgents,
  groupByVault,
  isReporting,
  policyOutcome,
  rankByCount,
  summarize,
  UNCERTIFIED,
  vaultState,
} from "../src/control/pages/fleet/agent-rows";
import type { AgentRow } from "../src/lib/api-types";

function agent(key: string, columns: Partial<AgentRow> = {}): Agent {
  const row = { tags: [], version: "1.0", life: "active", state: "online", policy: "applied" };
  return { key, ...row, ...columns } as unknown as Agent;
}

const FLEET = [
  agent("pay-1", { tags: ["prod", "eu"], secrets: 3 }),
  agent("pay-2", { tags: ["prod"], state: "offline", policy: "failed" }),
  agent("web-1", { version: "1.1", life: "locked", state: "locked", secrets: 4 }),
];
const ANY = { text: "", state: "", tag: "", version: "", vault: "", backup: "", rotation: "" };
const names = (filter: Partial<typeof ANY>) =>
  filterAgents(FLEET, { ...ANY, ...filter }).map(row => row.key);

test("a sealed agent is reporting, a late one is not", () => {
  assert.equal(isReporting({ state: "sealed" }), true);
  assert.equal(isReporting({ state: "late" }), false);
});

test("an agent that may not connect has no policy outcome", () => {
  assert.equal(policyOutcome({ life: "active", policy: "wanted" }), "wanted");
  assert.equal(policyOutcome({ life: "locked", policy: "wanted" }), "");
  const rows = [...FLEET, agent("web-2", { life: "locked", policy: "wanted" })];
  assert.equal(summarize(rows).policies.wanted, undefined);
  assert.deepEqual(filterAgents(rows, { ...ANY, state: "wanted" }), []);
});

test("filters combine, and text matches names and tags", () => {
  assert.deepEqual(names({}), ["pay-1", "pay-2", "web-1"]);
  assert.deepEqual(names({ text: " PAY " }), ["pay-1", "pay-2"]);
  assert.deepEqual(names({ text: "eu" }), ["pay-1"]);
  assert.deepEqual(names({ tag: "prod", state: "offline" }), ["pay-2"]);
  assert.deepEqual(names({ state: "failed" }), ["pay-2"]);
  assert.deepEqual(names({ version: "1.1" }), ["web-1"]);
  assert.deepEqual(names({ state: "online", version: "1.1" }), []);
});

test("backups are found by state, and where no certificate is fresh", () => {
  const rows = [
    agent("a", { backup: "good", certified: true }),
    agent("b", { backup: "good", certified: false }),
    agent("c", { backup: "late", certified: true }),
    agent("d", { backup: "", certified: false }),
  ];
  const found = (backup: string) => filterAgents(rows, { ...ANY, backup }).map(row => row.key);
  assert.deepEqual(found("good"), ["a", "b"]);
  assert.deepEqual(found("late"), ["c"]);
  assert.deepEqual(found(UNCERTIFIED), ["b", "d"]);
  assert.deepEqual(summarize(rows).backups, { good: 2, late: 1, uncertified: 2 });
});

test("rotations are found by state, and a vault owes once", () => {
  const rows = [
    agent("a", { vault_id: "x", rotation: "stuck", rotations_owed: 3 }),
    agent("b", { vault_id: "x", rotation: "stuck", rotations_owed: 3 }),
    agent("c", { rotation: "overdue", rotations_owed: 2 }),
    agent("d", { rotation: "", rotations_owed: 0 }),
  ];
  const found = filterAgents(rows, { ...ANY, rotation: "stuck" });
  assert.deepEqual(
    found.map(row => row.key),
    ["a", "b"],
  );
  assert.equal(summarize(rows).rotationsOwed, 5);
  assert.deepEqual(summarize(rows).rotations, { stuck: 2, overdue: 1 });
});

test("the summary counts each agent once for its state and once for each tag", () => {
  const sum = summarize(FLEET);
  assert.deepEqual(sum.states, { online: 1, offline: 1, locked: 1 });
  assert.deepEqual(sum.tags, { prod: 2, eu: 1 });
  assert.deepEqual(sum.policies, { applied: 1, failed: 1 });
  assert.equal(sum.secrets, 7);
  assert.deepEqual(rankByCount(sum.versions), [
    ["1.0", 2],
    ["1.1", 1],
  ]);
});

test("a vault is offline only if all its nodes are", () => {
  assert.equal(vaultState(["online", "online"]), "online");
  assert.equal(vaultState(["online", "degraded"]), "degraded");
  assert.equal(vaultState(["online", "offline"]), "partial");
  assert.equal(vaultState(["online", "late"]), "partial");
  assert.equal(vaultState(["offline", "sealed"]), "sealed");
  assert.equal(vaultState(["offline", "unknown"]), "offline");
  assert.equal(vaultState(["offline", "offline"]), "offline");
  assert.equal(vaultState(["online", "locked"]), "online");
  assert.equal(vaultState(["locked", "locked"]), "locked");
});

test("agents of one vault are its nodes, others are vaults of their own", () => {
  const rows = [
    agent("web-1", { vault_id: "v1", secrets: 5 }),
    agent("web-2", { vault_id: "v1", secrets: 6, state: "offline" }),
    agent("old-1", { vault_id: "", secrets: 2 }),
    agent("old-2", { vault_id: "", secrets: null }),
  ];
  const vaults = groupByVault(rows);
  assert.deepEqual(
    vaults.map(({ key, state, nodes, serving }) => [key, state, nodes.length, serving]),
    [
      ["v1", "partial", 2, 1],
      ["old-1", "online", 1, 1],
      ["old-2", "online", 1, 1],
    ],
  );
  const sum = summarize(rows);
  assert.deepEqual([sum.total, sum.vaults, sum.secrets], [4, 3, 8]);
  assert.deepEqual(
    filterAgents(rows, { ...ANY, vault: "v1" }).map(row => row.key),
    ["web-1", "web-2"],
  );
});
