import { count, plural } from "../../lib/format";
import type { RolloutRow } from "../../lib/types";
import { State } from "../../parts/badge";
import { Progress } from "../../parts/progress";
import "./row.css";

/** How far a roll-out that is open has come, of all agents that its policy is for. */
export function Course({ row }: { row: RolloutRow }) {
  const { applied, away, failed, reached, total } = row;
  return (
    <div class="course">
      <Progress
        label={`Roll-out of ${row.policy} version ${row.version}`}
        shares={[
          { tone: "good", value: applied ?? 0 },
          { tone: "bad", value: failed ?? 0 },
        ]}
        total={total ?? 0}
      />
      <p class="counts">
        <span>
          Step {row.step + 1} of {row.steps}: {count(reached)} of {plural(total ?? 0, "agent")}
        </span>
        <State of="applied" label={`${count(applied)} applied`} />
        {!!row.wanted && (
          <State
            of="wanted"
            label={`${count(row.wanted)} on the way${away ? `, ${count(away)} of them away` : ""}`}
          />
        )}
        {!!failed && <State of="failed" label={`${count(failed)} refused`} />}
      </p>
      {waits(row) && (
        <p class="muted">This step is through. The next one begins when a person says so.</p>
      )}
      {isAlone(row) && (
        <p class="muted">
          None of the agents that this step adds has applied it: they are away or have refused it.
          It goes on when one has, or when a person says so.
        </p>
      )}
      {row.state === "halted" && row.reason && <p class="muted">Halted: {row.reason}</p>}
    </div>
  );
}

function waits({ automatic, state, step, steps, through }: RolloutRow): boolean {
  return state === "running" && !automatic && !!through && step + 1 < steps;
}

function isAlone({ away, state, through, wanted }: RolloutRow): boolean {
  return state === "running" && !through && wanted === away;
}
