import { StatusBadge, toneOf } from "../../../components/badge";
import { Card } from "../../../components/card";
import { ProgressBar } from "../../../components/progress";
import { RESULTS, type ResultCounts } from "./api-types";

/** How many controls of a framework came to what. */
export function FrameworkTotals({
  title,
  counts,
}: {
  title: string;
  counts: ResultCounts | undefined;
}) {
  if (!counts) return null;
  const total = RESULTS.reduce((sum, result) => sum + counts[result], 0);
  return (
    <Card title={title}>
      <div class="stack">
        <ProgressBar
          label={`${title}: controls by result`}
          segments={RESULTS.map(result => ({ tone: toneOf(result), value: counts[result] }))}
          total={total}
        />
        <ul class="totals">
          {RESULTS.map(result => (
            <li key={result}>
              <StatusBadge status={result} />
              <span class="number">{counts[result]}</span>
            </li>
          ))}
        </ul>
      </div>
    </Card>
  );
}
