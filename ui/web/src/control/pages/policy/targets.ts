import type { Policy, RolloutRow, Target } from "../../../lib/api-types";
import type { Agent } from "../fleet/agent-rows";

/** The agents that these targets select: as `targeted_agents` in control/services/desired_state.py. */
export function targetedAgents(rows: readonly Agent[], targets: readonly Target[]): Agent[] {
  return rows.filter(
    row =>
      (row.life === "active" || row.life === "locked") &&
      targets.some(target => matchesTarget(target, row)),
  );
}

/** A short text: `All agents`, `tag eu, agent web-1`, `No targets`. */
export function describeTargets(targets: readonly Target[]): string {
  if (!targets.length) return "No targets";
  if (targets.some(({ all }) => all)) return "All agents";
  return targets.map(({ tag, vault }) => (tag ? `tag ${tag}` : `agent ${vault}`)).join(", ");
}

/** Unique words, separated by spaces or commas. */
export function splitWords(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter(Boolean))];
}

/** The steps of a rollout. */
export interface RolloutPlan {
  canary: number;
  percentages: number[];
  automatic: boolean;
  max_failures: number;
}

/** Number of agents after each step, of `total`: as `agents_reached` in control/services/rollout_steps.py. */
export function stepSizes({ canary, percentages }: RolloutPlan, total: number): number[] {
  const some = [...new Set(percentages.filter(percent => percent < 100))].sort((a, b) => a - b);
  const sizes = [
    ...(canary ? [canary] : []),
    ...some.map(percent => Math.ceil((total * percent) / 100)),
    total,
  ];
  let most = 0;
  return sizes.map(size => {
    most = Math.max(most, size);
    return Math.min(total, most);
  });
}

/** The open rollout of a policy. There is at most one. */
export function openRollout<Row extends RolloutRow>(
  rows: readonly Row[],
  policy: string,
): Row | undefined {
  return rows.find(row => row.policy === policy && isOpenRollout(row));
}

export function isOpenRollout({ state }: Pick<RolloutRow, "state">): boolean {
  return state === "running" || state === "halted";
}

/** Whether a finished rollout can still be rolled back: its version is the stable one. */
export function isRevocable(row: RolloutRow, policy: Policy): boolean {
  return row.state === "done" && row.policy === policy.name && row.version === policy.stable;
}

function matchesTarget({ all, vault, tag }: Target, row: Agent): boolean {
  return !!all || row.key === vault || (!!tag && row.tags.includes(tag));
}
