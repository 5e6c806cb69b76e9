import { Card, Stat, StatRow } from "../../../components/card";
import { Chart } from "../../../components/chart";
import { BarList } from "../../../components/progress";
import { Await, EmptyState, Notice } from "../../../components/states";
import { now } from "../../../lib/clock";
import { formatCompact, formatCount, pluralize } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { inOrganization, organizationPath } from "../../../lib/session";
import type { AgeClass, DailyCount, Usage } from "./api-types";
import { ExportButtons } from "./export-buttons";
import { usageQuery } from "./filters";
import { DAY, type DailySeries, dailySeries, dayRange, formatShare, readClasses } from "./series";

const MAX_OPERATIONS = 12;

/** Totals of the period. */
export function OverviewTab() {
  const result = useGet<Usage>(organizationPath("usage"), usageQuery());
  return (
    <Await query={result}>
      {usage =>
        usage.agents || usage.count || usage.system_count ? (
          <UsageSummary usage={usage} />
        ) : (
          <EmptyState icon="chart" title="No usage data yet">
            Agents report usage every 15 minutes, unless their owner has turned it off
            (share_usage).
          </EmptyState>
        )
      }
    </Await>
  );
}

function UsageSummary({ usage }: { usage: Usage }) {
  const { operations, secrets } = usage;
  const largest = operations[0]?.count ?? 0;
  const list = (which: string) => inOrganization(`/usage?tab=secrets&which=${which}`);
  return (
    <div class="stack">
      <StatRow>
        <Stat
          label="Operations"
          value={formatCompact(usage.count)}
          note={`${formatShare(usage.failed, usage.count)} denied or failed`}
        />
        <Stat
          label="System operations"
          value={formatCompact(usage.system_count)}
          note="health, link and pages; not counted above"
        />
        <Stat
          label="Secrets"
          value={formatCount(secrets.total)}
          note={`${formatCount(secrets.never_read)} never read`}
        />
        <Stat
          label="Unused"
          value={formatCount(secrets.unused)}
          note="not read for 90 days"
          href={list("unused")}
        />
        <Stat
          label="Rotation overdue"
          value={formatCount(secrets.rotation_due)}
          note="older than 90 days"
          href={list("rotation")}
        />
        <Stat
          label="Expiring"
          value={formatCount(secrets.expiring)}
          note="within 30 days"
          href={list("expiring")}
        />
        <Stat label="Expired" value={formatCount(secrets.expired)} href={list("expiring")} />
      </StatRow>
      {usage.opaque_agents < usage.agents && (
        <Notice tone="info">
          {pluralize(usage.agents - usage.opaque_agents, "agent")} of {usage.agents} report counts
          without secret IDs. The lists do not include their secrets.
        </Notice>
      )}
      <DailyOperations />
      <div class="columns tight">
        <Card title="Operations" aside={<ExportButtons list="operation" />}>
          <BarList
            total={largest}
            bars={operations
              .slice(0, MAX_OPERATIONS)
              .map(row => ({ name: row.operation, value: row.count }))}
          />
        </Card>
        {usage.system_operations.length > 0 && (
          <Card title="System operations">
            <BarList
              total={usage.system_operations[0]?.count ?? 0}
              bars={usage.system_operations
                .slice(0, MAX_OPERATIONS)
                .map(row => ({ name: row.operation, value: row.count }))}
            />
          </Card>
        )}
        <LastReads never={secrets.never_read} classes={secrets.idle} />
        <AgeClasses title="Age of the current version" classes={secrets.age} />
        <AgeClasses title="Time until expiry" classes={secrets.expires} />
      </div>
    </div>
  );
}

function DailyOperations() {
  const { since, ...rest } = usageQuery();
  const result = useGet<DailyCount[]>(organizationPath("usage/curve"), { since, ...rest });
  return (
    <Card title="Operations per day" aside={<ExportButtons list="curve" />}>
      <Await query={result}>
        {points => <DailyChart series={dailySeries(points, now.peek() / 1000)} since={since} />}
      </Await>
    </Card>
  );
}

function DailyChart({ series, since }: { series: DailySeries; since: number }) {
  return (
    <Chart
      label="Operations per day"
      daily
      from={since - (since % DAY)}
      times={series.times}
      series={[
        { title: "All", values: series.count },
        { title: "Denied or failed", values: series.failed },
      ]}
    />
  );
}

/** A class of its own for secrets that were never read. */
function LastReads({ never, classes }: { never: number; classes: readonly AgeClass[] }) {
  const { read, exact } = readClasses(classes, never);
  const total = read.reduce((sum, each) => sum + each.count, 0);
  return (
    <Card title="Time since the last read">
      <BarList
        total={exact ? total + never : total}
        bars={[{ name: "never read", value: never }, ...ageBars(read)]}
      />
      {!exact && (
        <p class="muted">
          Agents count secrets that were never read by their age, so the other classes include them.
        </p>
      )}
    </Card>
  );
}

function ageBars(classes: readonly AgeClass[]) {
  return classes.map((each, index) => ({
    name: dayRange(classes[index - 1]?.days ?? 0, each.days),
    value: each.count,
  }));
}

function AgeClasses({ title, classes }: { title: string; classes: readonly AgeClass[] }) {
  const total = classes.reduce((sum, each) => sum + each.count, 0);
  return (
    <Card title={title}>
      <BarList total={total} bars={ageBars(classes)} />
    </Card>
  );
}
