import { Card } from "../../../components/card";
import { EmptyState } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { RelativeTime } from "../../../components/time";
import type { AgentSections } from "../../../lib/api-types";
import { formatBytes, formatCount, formatPercent, humanize } from "../../../lib/format";

type Metric = [string, number];

/** The counters and gauges that the agent reported last. */
export function Metrics({ metrics }: { metrics: AgentSections["metrics"] | undefined }) {
  if (!metrics?.at) return <EmptyState icon="chart" title="No metrics yet" />;
  return (
    <div class="columns">
      <MetricTable title="Gauges" rows={Object.entries(metrics.gauges ?? {})} at={metrics.at} />
      <MetricTable
        title="Counters since start"
        rows={Object.entries(metrics.counters ?? {})}
        at={metrics.at}
      />
    </div>
  );
}

const COLUMNS: Column<Metric>[] = [
  { name: "name", title: "Name", cell: ([name]) => metricTitle(name), sortBy: ([name]) => name },
  {
    name: "value",
    title: "Value",
    numeric: true,
    width: "9rem",
    cell: ([name, value]) => formatMetric(name, value),
    sortBy: ([, value]) => value,
  },
];

function MetricTable({ title, rows, at }: { title: string; rows: Metric[]; at: number }) {
  return (
    <Card title={title} flush aside={<RelativeTime at={at} />}>
      <Table label={title} columns={COLUMNS} rows={rows} keyOf={([name]) => name} height="40rem" />
    </Card>
  );
}

/** The name without its unit, which is shown with the value. */
function metricTitle(name: string): string {
  return humanize(name.replace(/_(bytes|permille)$/, ""));
}

/** The suffix of a name is its unit (docs/spec/link.md). */
function formatMetric(name: string, value: number): string {
  if (name.endsWith("_bytes")) return formatBytes(value);
  if (name.endsWith("_permille")) return formatPercent(value / 1000);
  return formatCount(value);
}
