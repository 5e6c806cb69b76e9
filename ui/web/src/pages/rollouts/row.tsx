import { count } from "../../lib/format";
import type { RolloutRow } from "../../lib/types";
import { State } from "../../parts/badge";
import { Progress } from "../../parts/progress";
import "./row.css";

/** How far a roll-out that is open has come with the agents that its step reaches. */
export function Course({ row }: { row: RolloutRow }) {
  const { applied, failed, reached } = row;
  return (
    <div class="course">
      <Progress
        label={`Roll-out of ${row.policy} version ${row.version}`}
        shares={[
          { tone: "good", value: applied ?? 0 },
          { tone: "bad", value: failed ?? 0 },
        ]}
        total={reached ?? 0}
      />
      <p class="counts">
        <span>
          Step {row.step + 1} of {row.steps}
        </span>
        <span>
          <State of="applied" label={`${count(applied)} of ${count(reached)} applied`} />
        </span>
        {!!row.wanted && <State of="wanted" label={`${count(row.wanted)} on the way`} />}
        {!!failed && <State of="failed" label={`${count(failed)} refused`} />}
      </p>
      {row.state === "halted" && row.reason && <p class="muted">Halted: {row.reason}</p>}
    </div>
  );
}
