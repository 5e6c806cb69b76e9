import type { Policy, RolloutRow, Target } from "../../../lib/api-types";
import type { Agent } from "../fleet/agent-rows";

/** The agents that a policy with these targets is for: as `targeted` in control/services/wanting.py. */
export function targetedAgents(rows: readonly Agent[], targets: readonly Target[]): Agent[] {
  return rows.filter(
    row =>
      (row.life === "active" || row.life === "locked") &&
      targets.some(target => matchesTarget(target, row)),
  );
}

/** In a few words: `all agents`, `tag eu, agent web-1`, `nobody`. */
export function describeTargets(targets: readonly Target[]): string {
  if (!targets.length) return "No targets";
  if (targets.some(({ all }) => all)) return "All agents";
  return targets.map(({ tag, vault }) => (tag ? `tag ${tag}` : `agent ${vault}`)).join(", ");
}

/** Words of a field, by spaces or commas, each once. */
export function splitWords(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter(Boolean))];
}

/** A plan as people write it. */
export interface RolloutPlan {
  canary: number;
  percentages: number[];
  automatic: boolean;
  max_failures: number;
}

/** How many agents each step reaches, of `total`: as `reach` in control/services/rollout.py. */
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

/** The open roll-out of a policy, if there is one: it has at most one. */
export function openRollout<Row extends RolloutRow>(
  rows: readonly Row[],
  policy: string,
): Row | undefined {
  return rows.find(row => row.policy === policy && isOpenRollout(row));
}

export function isOpenRollout({ state }: Pick<RolloutRow, "state">): boolean {
  return state === "running" || state === "halted";
}

/** Whether rolling back what is done would still be to the version before it. */
export function isRevocable(row: RolloutRow, policy: Policy): boolean {
  return row.state === "done" && row.policy === policy.name && row.version === policy.stable;
}

function matchesTarget({ all, vault, tag }: Target, row: Agent): boolean {
  return !!all || row.key === vault || (!!tag && row.tags.includes(tag));
}
