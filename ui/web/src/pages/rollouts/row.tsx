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
      {row.state === "halted" && row.reason && <p class="muted">Halted: {row.reason}</p>}
    </div>
  );
}

function waits({ applied, automatic, away, state, step, steps, wanted }: RolloutRow): boolean {
  const isThrough = !wanted || (wanted === away && !!applied);
  return state === "running" && !automatic && isThrough && step + 1 < steps;
}
