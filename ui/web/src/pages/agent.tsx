import { bytes, compact, count, millis, percent } from "../lib/format";
import { useLive } from "../lib/hooks";
import type { PageProps } from "../lib/router";
import { organization, within } from "../lib/session";
import type { AgentSections } from "../lib/types";
import { State } from "../parts/badge";
import { Figure, Figures } from "../parts/card";
import { LinkState } from "../parts/linkstate";
import { Page } from "../parts/page";
import { Empty, Failure, Loading, Old, Stale } from "../parts/states";
import { Tabs } from "../parts/tabs";
import { TimeAgo } from "../parts/time";
import { Commands } from "./agent/commands";
import { Curves } from "./agent/curves";
import { About } from "./agent/facts";
import { LifeActions } from "./agent/life";
import { Metrics } from "./agent/metrics";
import { TagsAction } from "./agent/tags";
import { Tree } from "./agent/tree";
import { isHeard } from "./fleet/rows";

/** One agent as of this moment; while it is looked at, the agent says more of itself. */
export default function Agent({ params: { vault = "" } }: PageProps) {
  const live = useLive<object>("agent", organization.value, vault);
  live.version.value;
  const sections = Object.fromEntries(live.rows) as Partial<AgentSections>;
  const { agent, metrics, tree } = sections;
  const above = { href: within("/"), title: "Fleet" };
  const error = live.error.value;
  if (error?.code === "not_found")
    return (
      <Page title={vault} above={above}>
        <Empty icon="agent" title="There is no such agent">
          It may belong to another organization.
        </Empty>
      </Page>
    );
  if (error) return <Failure error={error} />;
  if (!agent) return <Loading what={`Loading ${vault}`} />;
  return (
    <Page
      title={vault}
      above={above}
      state={
        <>
          <State of={agent.state} filled />
          <LinkState />
        </>
      }
      actions={
        <>
          <TagsAction vault={vault} tags={agent.tags} />
          <LifeActions vault={vault} life={agent.life} />
        </>
      }
    >
      <div class="stack">
        <Stale freshness={live.freshness.value} />
        <Silent agent={agent} isLive={live.freshness.value === "live"} />
        <Now agent={agent} gauges={metrics?.gauges ?? {}} />
        <Tabs
          label="About this agent"
          tabs={[
            {
              name: "overview",
              title: "Overview",
              content: () => (
                <div class="stack">
                  <Curves vault={vault} at={metrics?.at ?? 0} row={agent} />
                  <About vault={vault} {...sections} />
                </div>
              ),
            },
            { name: "actors", title: "Actors", content: () => <Tree tree={tree} /> },
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

/** The dashboard is live and the agent is not: the figures are those of its last message. */
function Silent({ agent, isLive }: { agent: AgentSections["agent"]; isLive: boolean }) {
  if (!isLive || (agent.state !== "late" && agent.state !== "offline")) return null;
  return <Old said="The agent is silent. This is what it said last." at={agent.heard} />;
}

interface NowProps {
  agent: AgentSections["agent"];
  gauges: Record<string, number>;
}

function Now({ agent, gauges }: NowProps) {
  const cpu = gauges.cpu_permille;
  return (
    <Figures>
      <Figure label="Requests" value={compact(agent.requests)} unit="/s" />
      <Figure label="Server errors" value={compact(agent.errors)} unit="/s" />
      <Figure
        label="Latency p99"
        value={millis(agent.p99)}
        note={known(agent.p50, each => `p50 ${millis(each)}`) ?? "no requests now"}
      />
      <Figure
        label="Secrets"
        value={count(agent.secrets)}
        note={known(gauges.secrets_expiring, each => `${count(each)} expire soon`)}
      />
      {cpu !== undefined && <Figure label="Processor" value={percent(cpu / 1000)} />}
      <Figure label="Memory" value={bytes(gauges.memory_bytes)} />
      {gauges.outbox_messages !== undefined && (
        <Figure
          label="Outbox"
          value={count(gauges.outbox_messages)}
          note={known(gauges.outbox_bytes, bytes)}
        />
      )}
      <Figure label="Last word" value={isHeard(agent) ? "now" : <TimeAgo at={agent.heard} />} />
    </Figures>
  );
}

/** Told in some form if it is known, else left out. */
function known(value: number | null | undefined, form: (value: number) => string) {
  return value == null ? undefined : form(value);
}
