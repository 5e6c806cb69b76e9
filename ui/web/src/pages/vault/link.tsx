import { useNow } from "../../agent/live";
import type { Link } from "../../agent/wire";
import { bytes, count, millis, words } from "../../lib/format";
import { State } from "../../parts/badge";
import { Card, Facts, Figure, Figures } from "../../parts/card";
import { LinkState } from "../../parts/linkstate";
import { Page } from "../../parts/page";
import { Empty, Failure, Loading, Notice, Stale } from "../../parts/states";
import { Moment, TimeAgo } from "../../parts/time";

/** How the agent stands with its control plane, if it has one. */
export default function LinkPage() {
  const [now, live] = useNow<Link>("link");
  if (live.error.value) return <Failure error={live.error.value} />;
  if (!now) return <Loading />;
  return (
    <Page
      title="Link"
      state={
        <>
          {now.enabled && <State of={now.state} filled />}
          <LinkState />
        </>
      }
    >
      <div class="stack">
        <Stale freshness={live.freshness.value} />
        {now.enabled ? <Known now={now} /> : <Alone />}
      </div>
    </Page>
  );
}

function Alone() {
  return (
    <Empty icon="link" title="No control plane">
      This agent works by itself. To put it under a control plane, enrol it on its machine:{" "}
      <code>freehold agent enrol</code>. What it sent before is under <a href="/sent">What left</a>.
    </Empty>
  );
}

function Known({ now }: { now: Link }) {
  return (
    <>
      {now.trouble && <Notice tone="warn">{now.trouble}</Notice>}
      {now.policy_trouble && <Notice tone="warn">{now.policy_trouble}</Notice>}
      <Figures>
        <Figure label="Round trip" value={millis(now.round_trip && now.round_trip * 1000)} />
        <Figure label="Outbox" value={count(now.outbox_messages)} note={bytes(now.outbox_bytes)} />
        <Figure label="Dropped" value={count(now.dropped)} />
        <Figure label="Sent in all" value={bytes(now.egress_bytes)} href="/sent" />
        <Figure label="Faults of the other side" value={count(now.faults)} />
      </Figures>
      <div class="columns">
        <Card title="Connection">
          <Facts
            rows={[
              ["State", words(now.state)],
              ["Since", <TimeAgo key="s" at={now.since} />],
              ["Connected", now.connected ? <TimeAgo key="c" at={now.connected_at} /> : "no"],
              ["Attempts", count(now.attempts)],
              ["Control plane", now.endpoint || "–"],
              ["Organization", now.org || "–"],
              ["Known there as", now.vault || "–"],
            ]}
          />
        </Card>
        <Card title="Standing">
          <Facts
            rows={[
              ["Standing", words(now.standing)],
              ["Certificate", now.generation ? `generation ${now.generation}` : "–"],
              ["Expires", <Moment key="e" at={now.certificate_expires} />],
              ["Fingerprint", now.fingerprint || "–"],
              ["Policies' version", now.policy_version || "–"],
              ["They count until", <Moment key="p" at={now.policy_expires} />],
              ["Log signed for up to", count(now.cosigned_size)],
            ]}
          />
        </Card>
      </div>
    </>
  );
}
