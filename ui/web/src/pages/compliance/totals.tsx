import { State, toneOf } from "../../parts/badge";
import { Card } from "../../parts/card";
import { Progress } from "../../parts/progress";
import { type Counts, RESULTS } from "./wire";

/** How many controls of a framework came to what. */
export function Totals({ title, counts }: { title: string; counts: Counts | undefined }) {
  if (!counts) return null;
  const total = RESULTS.reduce((sum, result) => sum + counts[result], 0);
  return (
    <Card title={title}>
      <div class="stack">
        <Progress
          label={`${title}: controls by result`}
          shares={RESULTS.map(result => ({ tone: toneOf(result), value: counts[result] }))}
          total={total}
        />
        <ul class="totals">
          {RESULTS.map(result => (
            <li key={result}>
              <State of={result} />
              <span class="number">{counts[result]}</span>
            </li>
          ))}
        </ul>
      </div>
    </Card>
  );
}
