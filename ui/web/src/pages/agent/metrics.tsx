import { bytes, count, percent, words } from "../../lib/format";
import type { AgentSections } from "../../lib/types";
import { Card } from "../../parts/card";
import { Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { TimeAgo } from "../../parts/time";

type Named = [string, number];

/** Every counter and gauge that the agent told last. */
export function Metrics({ metrics }: { metrics: AgentSections["metrics"] | undefined }) {
  if (!metrics?.at) return <Empty icon="chart" title="It has measured nothing yet" />;
  return (
    <div class="columns">
      <List title="States" rows={Object.entries(metrics.gauges ?? {})} at={metrics.at} />
      <List
        title="Totals since its start"
        rows={Object.entries(metrics.counters ?? {})}
        at={metrics.at}
      />
    </div>
  );
}

const COLUMNS: Column<Named>[] = [
  { name: "name", title: "Name", cell: ([name]) => titleOf(name), by: ([name]) => name },
  {
    name: "value",
    title: "Value",
    number: true,
    width: "9rem",
    cell: ([name, value]) => shown(name, value),
    by: ([, value]) => value,
  },
];

function List({ title, rows, at }: { title: string; rows: Named[]; at: number }) {
  return (
    <Card title={title} flush aside={<TimeAgo at={at} />}>
      <Table label={title} columns={COLUMNS} rows={rows} keyOf={([name]) => name} height="40rem" />
    </Card>
  );
}

/** Its unit is said with the value. */
function titleOf(name: string): string {
  return words(name.replace(/_(bytes|permille)$/, ""));
}

/** By the unit that the name ends with (docs/spec/link.md). */
function shown(name: string, value: number): string {
  if (name.endsWith("_bytes")) return bytes(value);
  if (name.endsWith("_permille")) return percent(value / 1000);
  return count(value);
}
