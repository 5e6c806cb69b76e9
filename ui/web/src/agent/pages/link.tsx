import { StatusBadge } from "../../components/badge";
import { Card, DescriptionList, Stat, StatRow } from "../../components/card";
import { LiveIndicator } from "../../components/live-indicator";
import { Page } from "../../components/page";
import { EmptyState, ErrorState, Loading, Notice, StaleNotice } from "../../components/states";
import { RelativeTime, Timestamp } from "../../components/time";
import { formatBytes, formatCount, formatMillis, humanize } from "../../lib/format";
import type { Link } from "../api-types";
import { useTopicRow } from "../topics";

/** The link to the control plane, if the agent has one. */
export default function LinkPage() {
  const [now, live] = useTopicRow<Link>("link");
  if (live.error.value) return <ErrorState error={live.error.value} />;
  if (!now) return <Loading />;
  return (
    <Page
      title="Link"
      state={
        <>
          {now.enabled && <StatusBadge status={now.state} filled />}
          <LiveIndicator />
        </>
      }
    >
      <div class="stack">
        <StaleNotice freshness={live.freshness.value} />
        {now.enabled ? <LinkDetails now={now} /> : <NoControlPlane />}
      </div>
    </Page>
  );
}

function NoControlPlane() {
  return (
    <EmptyState icon="link" title="No control plane">
      This agent is not connected to a control plane. To enrol it, run this on its machine:{" "}
      <code>freehold agent enrol</code>. What it sent before is in the{" "}
      <a href="/sent">egress ledger</a>.
    </EmptyState>
  );
}

function LinkDetails({ now }: { now: Link }) {
  return (
    <>
      {now.trouble && <Notice tone="warn">{now.trouble}</Notice>}
      {now.policy_trouble && <Notice tone="warn">{now.policy_trouble}</Notice>}
      <StatRow>
        <Stat label="Round trip" value={formatMillis(now.round_trip && now.round_trip * 1000)} />
        <Stat
          label="Outbox"
          value={formatCount(now.outbox_messages)}
          note={formatBytes(now.outbox_bytes)}
        />
        <Stat label="Dropped" value={formatCount(now.dropped)} />
        <Stat label="Total sent" value={formatBytes(now.egress_bytes)} href="/sent" />
        <Stat label="Protocol errors" value={formatCount(now.faults)} />
      </StatRow>
      <div class="columns">
        <Card title="Connection">
          <DescriptionList
            rows={[
              ["State", humanize(now.state)],
              ["Since", <RelativeTime key="s" at={now.since} />],
              ["Connected", now.connected ? <RelativeTime key="c" at={now.connected_at} /> : "No"],
              ["Attempts", formatCount(now.attempts)],
              ["Control plane", now.endpoint || "–"],
              ["Organization", now.org || "–"],
              ["Agent name", now.vault || "–"],
            ]}
          />
        </Card>
        <Card title="Enrolment">
          <DescriptionList
            rows={[
              ["Status", humanize(now.standing)],
              ["Certificate", now.generation ? `generation ${now.generation}` : "–"],
              ["Expires", <Timestamp key="e" at={now.certificate_expires} />],
              ["Fingerprint", now.fingerprint || "–"],
              ["Policy bundle version", now.policy_version || "–"],
              ["Policy bundle expires", <Timestamp key="p" at={now.policy_expires} />],
              ["Audit log cosigned up to", formatCount(now.cosigned_size)],
            ]}
          />
        </Card>
      </div>
    </>
  );
}
