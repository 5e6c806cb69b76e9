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
}

/** Counts by state, policy outcome, version and tag. */
export interface FleetSummary {
  total: number;
  states: Record<string, number>;
  policies: Record<string, number>;
  versions: Record<string, number>;
  tags: Record<string, number>;
  secrets: number;
}

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
  { text, state, tag, version }: AgentFilter,
): Agent[] {
  const wanted = text.trim().toLowerCase();
  return rows.filter(
    row =>
      (!state || row.state === state || policyOutcome(row) === state) &&
      (!tag || row.tags.includes(tag)) &&
      (!version || row.version === version) &&
      (!wanted || row.key.includes(wanted) || row.tags.some(each => each.includes(wanted))),
  );
}

export function summarize(rows: readonly Agent[]): FleetSummary {
  const sum: FleetSummary = {
    total: rows.length,
    states: {},
    policies: {},
    versions: {},
    tags: {},
    secrets: 0,
  };
  for (const row of rows) {
    increment(sum.states, row.state);
    const outcome = policyOutcome(row);
    if (outcome) increment(sum.policies, outcome);
    if (row.version) increment(sum.versions, row.version);
    for (const tag of row.tags) increment(sum.tags, tag);
    sum.secrets += row.secrets ?? 0;
  }
  return sum;
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
