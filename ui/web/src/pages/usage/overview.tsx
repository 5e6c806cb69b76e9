import { now } from "../../lib/clock";
import { compact, count, plural } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { ofOrganization, within } from "../../lib/session";
import { Card, Figure, Figures } from "../../parts/card";
import { Chart } from "../../parts/chart";
import { Bars } from "../../parts/progress";
import { Await, Empty, Notice } from "../../parts/states";
import { byDay, DAY, type Daily, share, spanOfDays } from "./course";
import { Export } from "./export";
import { asked } from "./span";
import type { Class, Point, Usage } from "./wire";

const MOST = 12; // operations that are shown

/** All of it added up. */
export function Overview() {
  const found = useGet<Usage>(ofOrganization("usage"), asked());
  return (
    <Await of={found}>
      {usage =>
        usage.agents || usage.count || usage.system_count ? (
          <Told usage={usage} />
        ) : (
          <Empty icon="chart" title="Nothing was told yet">
            Agents tell each quarter of an hour what was used, unless their owner has switched it
            off (share_usage).
          </Empty>
        )
      }
    </Await>
  );
}

function Told({ usage }: { usage: Usage }) {
  const { operations, secrets } = usage;
  const largest = operations[0]?.count ?? 0;
  const list = (which: string) => within(`/usage?tab=secrets&which=${which}`);
  return (
    <div class="stack">
      <Figures>
        <Figure
          label="Operations"
          value={compact(usage.count)}
          note={`${share(usage.failed, usage.count)} refused or failed`}
        />
        <Figure
          label="System operations"
          value={compact(usage.system_count)}
          note="health, link, pages: not in the count"
        />
        <Figure
          label="Secrets"
          value={count(secrets.total)}
          note={`${count(secrets.never_read)} never read`}
        />
        <Figure
          label="Unused"
          value={count(secrets.unused)}
          note="for 90 days"
          href={list("unused")}
        />
        <Figure
          label="Rotation debt"
          value={count(secrets.rotation_due)}
          note="older than 90 days"
          href={list("rotation")}
        />
        <Figure
          label="Expiring"
          value={count(secrets.expiring)}
          note="within 30 days"
          href={list("expiring")}
        />
        <Figure label="Expired" value={count(secrets.expired)} href={list("expiring")} />
      </Figures>
      {usage.opaque_agents < usage.agents && (
        <Notice tone="info">
          {plural(usage.agents - usage.opaque_agents, "agent")} of {usage.agents} counts without
          naming secrets: the lists cannot have theirs.
        </Notice>
      )}
      <Curve />
      <div class="columns tight">
        <Card title="Operations" aside={<Export of="operation" />}>
          <Bars
            total={largest}
            bars={operations.slice(0, MOST).map(row => ({ name: row.operation, value: row.count }))}
          />
        </Card>
        {usage.system_operations.length > 0 && (
          <Card title="System operations">
            <Bars
              total={usage.system_operations[0]?.count ?? 0}
              bars={usage.system_operations
                .slice(0, MOST)
                .map(row => ({ name: row.operation, value: row.count }))}
            />
          </Card>
        )}
        <Classes title="Time since the last read" of={secrets.idle} />
        <Classes title="Age of the current version" of={secrets.age} />
        <Classes title="Time until expiry" of={secrets.expires} />
      </div>
    </div>
  );
}

function Curve() {
  const { since, ...rest } = asked();
  const found = useGet<Point[]>(ofOrganization("usage/curve"), { since, ...rest });
  return (
    <Card title="Operations a day" aside={<Export of="curve" />}>
      <Await of={found}>
        {points => <Days of={byDay(points, now.peek() / 1000)} since={since} />}
      </Await>
    </Card>
  );
}

function Days({ of, since }: { of: Daily; since: number }) {
  return (
    <Chart
      label="Operations a day"
      daily
      from={since - (since % DAY)}
      times={of.times}
      lines={[
        { title: "All", values: of.count },
        { title: "Refused or failed", values: of.failed },
      ]}
    />
  );
}

function Classes({ title, of }: { title: string; of: readonly Class[] }) {
  const total = of.reduce((sum, each) => sum + each.count, 0);
  return (
    <Card title={title}>
      <Bars
        total={total}
        bars={of.map((each, index) => ({
          name: spanOfDays(of[index - 1]?.days ?? 0, each.days),
          value: each.count,
        }))}
      />
    </Card>
  );
}
