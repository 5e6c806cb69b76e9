import { ActorTree } from "../../components/actor-tree";
import { StatusBadge } from "../../components/badge";
import { Stat, StatRow } from "../../components/card";
import { LiveIndicator } from "../../components/live-indicator";
import { Page } from "../../components/page";
import {
  EmptyState,
  ErrorState,
  Loading,
  OutdatedNotice,
  StaleNotice,
} from "../../components/states";
import { Tabs } from "../../components/tabs";
import { RelativeTime } from "../../components/time";
import type { AgentSections } from "../../lib/api-types";
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatMillis,
  formatPercent,
} from "../../lib/format";
import { useLive } from "../../lib/hooks";
import type { PageProps } from "../../lib/router";
import { inOrganization, organization } from "../../lib/session";
import { LifecycleActions, TagsAction } from "./agent/actions";
import { AgentCharts } from "./agent/charts";
import { Commands } from "./agent/commands";
import { Metrics } from "./agent/metrics";
import { AgentOverview } from "./agent/overview";
import { isReporting } from "./fleet/agent-rows";

/** One agent, live. An agent reports in more detail while this page is open. */
export default function Agent({ params: { vault = "" } }: PageProps) {
  const live = useLive<object>("agent", organization.value, vault);
  live.version.value;
  const sections = Object.fromEntries(live.rows) as Partial<AgentSections>;
  const { agent, metrics, tree } = sections;
  const above = { href: inOrganization("/"), title: "Fleet" };
  const error = live.error.value;
  if (error?.code === "not_found")
    return (
      <Page title={vault} parent={above}>
        <EmptyState icon="agent" title="Agent not found">
          It may belong to another organization.
        </EmptyState>
      </Page>
    );
  if (error) return <ErrorState error={error} />;
  if (!agent) return <Loading label={`Loading ${vault}`} />;
  return (
    <Page
      title={vault}
      parent={above}
      state={
        <>
          <StatusBadge status={agent.state} filled />
          <LiveIndicator />
        </>
      }
      actions={
        <>
          <TagsAction vault={vault} tags={agent.tags} />
          <LifecycleActions vault={vault} lifecycle={agent.life} />
        </>
      }
    >
      <div class="stack">
        <StaleNotice freshness={live.freshness.value} />
        <SilentNotice agent={agent} isLive={live.freshness.value === "live"} />
        <AgentStats agent={agent} gauges={metrics?.gauges ?? {}} />
        <Tabs
          label="Agent"
          tabs={[
            {
              name: "overview",
              title: "Overview",
              content: () => (
                <div class="stack">
                  <AgentCharts vault={vault} measuredAt={metrics?.at ?? 0} row={agent} />
                  <AgentOverview vault={vault} {...sections} />
                </div>
              ),
            },
            { name: "actors", title: "Actors", content: () => <ActorTree tree={tree} /> },
            {
              name: "commands",
              title: "Commands",
              content: () => <Commands vault={vault} active={agent.life === "active"} />,
            },
            { name: "metrics", title: "Metrics", content: () => <Metrics metrics={metrics} /> },
          ]}
        />
      </div>
    </Page>
  );
}

/** Shown when the dashboard is live but the agent does not report. */
function SilentNotice({ agent, isLive }: { agent: AgentSections["agent"]; isLive: boolean }) {
  if (!isLive || (agent.state !== "late" && agent.state !== "offline")) return null;
  return (
    <OutdatedNotice
      message="The agent does not report. These are its last reported values."
      at={agent.heard}
    />
  );
}

interface AgentStatsProps {
  agent: AgentSections["agent"];
  gauges: Record<string, number>;
}

function AgentStats({ agent, gauges }: AgentStatsProps) {
  const cpu = gauges.cpu_permille;
  return (
    <StatRow>
      <Stat label="Requests" value={formatCompact(agent.requests)} unit="/s" />
      <Stat label="Server errors" value={formatCompact(agent.errors)} unit="/s" />
      <Stat
        label="Latency p99"
        value={formatMillis(agent.p99)}
        note={formatKnown(agent.p50, each => `p50 ${formatMillis(each)}`) ?? "no requests now"}
      />
      <Stat
        label="Secrets"
        value={formatCount(agent.secrets)}
        note={formatKnown(gauges.secrets_expiring, each => `${formatCount(each)} expiring soon`)}
      />
      {cpu !== undefined && <Stat label="CPU" value={formatPercent(cpu / 1000)} />}
      <Stat label="Memory" value={formatBytes(gauges.memory_bytes)} />
      {gauges.outbox_messages !== undefined && (
        <Stat
          label="Outbox"
          value={formatCount(gauges.outbox_messages)}
          note={formatKnown(gauges.outbox_bytes, formatBytes)}
        />
      )}
      <Stat
        label="Last seen"
        value={isReporting(agent) ? "now" : <RelativeTime at={agent.heard} />}
      />
    </StatRow>
  );
}

/** Formats a value if it is known. */
function formatKnown(value: number | null | undefined, form: (value: number) => string) {
  return value == null ? undefined : form(value);
}
