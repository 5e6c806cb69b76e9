import { StatusBadge } from "../../../components/badge";
import { ProgressBar } from "../../../components/progress";
import type { RolloutRow } from "../../../lib/api-types";
import { formatCount, pluralize } from "../../../lib/format";
import "./progress.css";

/** Progress of an open rollout over all target agents. */
export function RolloutProgress({ row }: { row: RolloutRow }) {
  const { applied, away, failed, reached, total } = row;
  return (
    <div class="course">
      <ProgressBar
        label={`Rollout of ${row.policy} version ${row.version}`}
        segments={[
          { tone: "good", value: applied ?? 0 },
          { tone: "bad", value: failed ?? 0 },
        ]}
        total={total ?? 0}
      />
      <p class="counts">
        <span>
          Step {row.step + 1} of {row.steps}: {formatCount(reached)} of{" "}
          {pluralize(total ?? 0, "agent")}
        </span>
        <StatusBadge status="applied" label={`${formatCount(applied)} applied`} />
        {!!row.wanted && (
          <StatusBadge
            status="wanted"
            label={`${formatCount(row.wanted)} pending${away ? `, ${formatCount(away)} of them offline` : ""}`}
          />
        )}
        {!!failed && <StatusBadge status="failed" label={`${formatCount(failed)} failed`} />}
      </p>
      {waitsForPerson(row) && (
        <p class="muted">This step is complete. Advance the rollout to start the next step.</p>
      )}
      {waitsForAgents(row) && (
        <p class="muted">
          No agent of this step has applied the version: all are offline or have failed. The rollout
          continues when one applies it or when you advance it.
        </p>
      )}
      {row.state === "halted" && row.reason && <p class="muted">Halted: {row.reason}</p>}
    </div>
  );
}

function waitsForPerson({ automatic, state, step, steps, through }: RolloutRow): boolean {
  return state === "running" && !automatic && !!through && step + 1 < steps;
}

function waitsForAgents({ away, state, through, wanted }: RolloutRow): boolean {
  return state === "running" && !through && wanted === away;
}
