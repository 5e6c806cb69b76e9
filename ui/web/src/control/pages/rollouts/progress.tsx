import { StatusBadge } from "../../../components/badge";
import { ProgressBar } from "../../../components/progress";
import type { RolloutRow } from "../../../lib/api-types";
import { formatCount, pluralize } from "../../../lib/format";
import "./progress.css";

/** How far a roll-out that is open has come, of all agents that its policy is for. */
export function RolloutProgress({ row }: { row: RolloutRow }) {
  const { applied, away, failed, reached, total } = row;
  return (
    <div class="course">
      <ProgressBar
        label={`Roll-out of ${row.policy} version ${row.version}`}
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
            label={`${formatCount(row.wanted)} on the way${away ? `, ${formatCount(away)} of them away` : ""}`}
          />
        )}
        {!!failed && <StatusBadge status="failed" label={`${formatCount(failed)} refused`} />}
      </p>
      {waitsForPerson(row) && (
        <p class="muted">This step is through. The next one begins when a person says so.</p>
      )}
      {waitsForAgents(row) && (
        <p class="muted">
          None of the agents that this step adds has applied it: they are away or have refused it.
          It goes on when one has, or when a person says so.
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
