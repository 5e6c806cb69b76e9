import type { AgentRow, FleetSample } from "../../../lib/api-types";
import type { Collection, WithKey } from "../../../lib/collection";

/** An agent. The key is its name. */
export type Agent = WithKey<AgentRow>;

/** Empty means any. */
export interface AgentFilter {
  text: string;
  state: string;
  tag: string;
  version: string;
  vault: string;
  /** A state of backups, or `uncertified`. */
  backup: string;
  /** A state of rotations. */
  rotation: string;
}

/** A vault with its nodes. The key is its id, or the name of an agent that says none. */
export interface Vault {
  key: string;
  state: string;
  nodes: Agent[];
  serving: number;
}

/** Counts by state, policy outcome, version and tag. */
export interface FleetSummary {
  total: number;
  vaults: number;
  states: Record<string, number>;
  policies: Record<string, number>;
  /** By state of the backups, and `uncertified`. */
  backups: Record<string, number>;
  /** Rotations of all vaults that are overdue or stuck; each vault counts once. */
  rotationsOwed: number;
  /** Agents by state of their vault's rotations. */
  rotations: Record<string, number>;
  versions: Record<string, number>;
  tags: Record<string, number>;
  secrets: number;
}

/** Filter for vaults without a fresh restore certificate. */
export const UNCERTIFIED = "uncertified";

/** All agents except retired ones. */
export function currentAgents(fleet: Collection<AgentRow>): Agent[] {
  return fleet.list().filter(row => row.life !== "retired");
}

/** Whether the agent reports in time, whatever it serves. */
export function isReporting({ state }: Pick<AgentRow, "state">): boolean {
  return ["online", "degraded", "sealed", "refusing"].includes(state);
}

/** The outcome of the policy bundle. Empty for agents that may not connect. */
export function policyOutcome({ life, policy }: Pick<AgentRow, "life" | "policy">): string {
  return life === "active" ? policy : "";
}

export function filterAgents(
  rows: readonly Agent[],
  { text, state, tag, version, vault, backup, rotation }: AgentFilter,
): Agent[] {
  const wanted = text.trim().toLowerCase();
  return rows.filter(
    row =>
      (!state || row.state === state || policyOutcome(row) === state) &&
      (!tag || row.tags.includes(tag)) &&
      (!version || row.version === version) &&
      (!vault || row.vault_id === vault) &&
      (!backup || row.backup === backup || (backup === UNCERTIFIED && !row.certified)) &&
      (!rotation || row.rotation === rotation) &&
      (!wanted || row.key.includes(wanted) || row.tags.some(each => each.includes(wanted))),
  );
}

export function summarize(rows: readonly Agent[]): FleetSummary {
  const sum: FleetSummary = {
    total: rows.length,
    vaults: 0,
    states: {},
    policies: {},
    backups: {},
    rotationsOwed: 0,
    rotations: {},
    versions: {},
    tags: {},
    secrets: 0,
  };
  for (const row of rows) {
    increment(sum.states, row.state);
    const outcome = policyOutcome(row);
    if (outcome) increment(sum.policies, outcome);
    if (row.backup) increment(sum.backups, row.backup);
    if (!row.certified) increment(sum.backups, UNCERTIFIED);
    if (row.rotation) increment(sum.rotations, row.rotation);
    if (row.version) increment(sum.versions, row.version);
    for (const tag of row.tags) increment(sum.tags, tag);
  }
  for (const { nodes } of groupByVault(rows)) {
    sum.vaults += 1;
    sum.rotationsOwed += Math.max(...nodes.map(node => node.rotations_owed ?? 0));
    sum.secrets += Math.max(...nodes.map(node => node.secrets ?? 0)); // each node counts all
  }
  return sum;
}

/** Vaults in the order of their first nodes. An agent that says no vault is one of its own. */
export function groupByVault(rows: readonly Agent[]): Vault[] {
  const found = new Map<string, Vault>();
  for (const row of rows) {
    const key = row.vault_id ? `=${row.vault_id}` : row.key; // no name has a "="
    const vault = found.get(key) ?? {
      key: row.vault_id || row.key,
      state: "",
      nodes: [],
      serving: 0,
    };
    vault.nodes.push(row);
    found.set(key, vault);
  }
  for (const vault of found.values()) {
    const states = vault.nodes.map(({ state }) => state);
    vault.state = vaultState(states);
    vault.serving = states.filter(isServing).length;
  }
  return [...found.values()];
}

/** From worst to best; equals `VaultState` of control/model/vaults.py. */
const VAULT_STATES = [
  ...["pending", "locked", "unknown", "offline", "sealed", "refusing"],
  ...["late", "partial", "degraded", "online"],
];

/** The state of a vault by its nodes: offline only if all are. */
export function vaultState(states: readonly string[]): string {
  const watched = states.filter(state => state !== "pending" && state !== "locked");
  const counted = watched.length ? watched : states;
  const serving = counted.filter(isServing);
  const ranks = (serving.length ? serving : counted).map(state => VAULT_STATES.indexOf(state));
  if (!serving.length) return VAULT_STATES[Math.max(...ranks)] ?? "";
  if (serving.length < counted.length) return "partial";
  return VAULT_STATES[Math.min(...ranks)] ?? "";
}

function isServing(state: string): boolean {
  return state === "online" || state === "degraded";
}

/** Highest count first. */
export function rankByCount(counts: Record<string, number>): [string, number][] {
  return Object.entries(counts).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
}

/** Columns for the charts, sorted by time. */
export function fleetSeries(curves: Collection<FleetSample>) {
  const points = curves.list().sort((a, b) => Number(a.key) - Number(b.key));
  const column = (name: keyof FleetSample) => points.map(row => row[name]);
  return {
    times: points.map(row => Number(row.key)),
    requests: column("requests"),
    errors: column("errors"),
    p50: column("p50"),
    p99: column("p99"),
    online: column("online"),
  };
}

function increment(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}
