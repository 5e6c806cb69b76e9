import { useState } from "preact/hooks";
import { StatusBadge } from "../../components/badge";
import { Button } from "../../components/button";
import { Card, DescriptionList, Stat, StatRow } from "../../components/card";
import { Dialog } from "../../components/dialog";
import { LiveIndicator } from "../../components/live-indicator";
import { Page } from "../../components/page";
import { ErrorState, Loading, Notice, StaleNotice } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { RelativeTime, Timestamp } from "../../components/time";
import { post } from "../../lib/api";
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatMillis,
  formatPercent,
  pluralize,
} from "../../lib/format";
import type { Disk, Health, Sink } from "../api-types";
import { refreshSealStatus, sealStatus } from "../seal-status";
import { useTopicRow } from "../topics";

const SINK_COLUMNS: Column<Sink>[] = [
  { name: "name", title: "Sink", cell: row => <span title={row.name}>{row.name}</span> },
  {
    name: "state",
    title: "State",
    width: "9rem",
    cell: row => <StatusBadge status={sinkState(row)[0]} label={sinkState(row)[1]} />,
  },
  {
    name: "size",
    title: "Records",
    width: "7rem",
    numeric: true,
    cell: row => formatCount(row.size),
  },
  {
    name: "error",
    title: "Last error",
    width: "16rem",
    wideOnly: true,
    cell: row => <span title={row.error}>{row.error || "–"}</span>,
  },
];

const PLACES: Record<string, string> = {
  data: "Database",
  audit: "Audit log",
  anchor: "Anchor",
  link: "Control plane link",
};

const DISK_COLUMNS: Column<Disk>[] = [
  { name: "place", title: "Place", cell: row => PLACES[row.place] ?? row.place },
  {
    name: "state",
    title: "State",
    width: "9rem",
    cell: row => (
      <StatusBadge status={row.low ? "warning" : "ok"} label={row.low ? "Nearly full" : "OK"} />
    ),
  },
  { name: "free", title: "Free", width: "7rem", numeric: true, cell: row => formatBytes(row.free) },
  {
    name: "total",
    title: "Size",
    width: "7rem",
    numeric: true,
    cell: row => formatBytes(row.total),
  },
];

/** Load, seal, keys, cache, audit sinks and disks, live. */
export default function HealthPage() {
  const [now, live] = useTopicRow<Health>("health");
  const [dialog, setDialog] = useState(false);
  if (live.error.value) return <ErrorState error={live.error.value} />;
  if (!now) return <Loading />;
  return (
    <Page
      title="Health"
      state={
        <>
          <StatusBadge status="serving" filled />
          <LiveIndicator />
        </>
      }
      actions={
        <Button kind="danger" icon="lock" onClick={() => setDialog(true)}>
          Seal…
        </Button>
      }
    >
      <div class="stack">
        <StaleNotice freshness={live.freshness.value} />
        {now.trouble && <Notice tone="bad">{now.trouble}</Notice>}
        {now.rotation_due && (
          <Notice tone="warn">The key-encryption key is due for rotation.</Notice>
        )}
        {now.disks.some(disk => disk.low) && (
          <Notice tone="warn">
            A disk is nearly full. Free disk space before the agent refuses requests.
          </Notice>
        )}
        <LoadStats now={now} />
        <div class="columns">
          <SealCard now={now} />
          <CacheCard now={now} />
        </div>
        <Card title="Audit log" flush aside={pluralize(now.audit_size, "record")}>
          <Table
            label="Audit sinks"
            columns={SINK_COLUMNS}
            rows={now.sinks}
            keyOf={s => s.name}
            height="14rem"
          />
        </Card>
        <Card title="Disks" flush>
          <Table
            label="Disks"
            columns={DISK_COLUMNS}
            rows={now.disks}
            keyOf={disk => disk.place}
            height="12rem"
          />
        </Card>
      </div>
      {dialog && <SealDialog onClose={() => setDialog(false)} />}
    </Page>
  );
}

function LoadStats({ now }: { now: Health }) {
  return (
    <StatRow>
      <Stat label="Requests" value={formatCompact(now.requests_per_second)} unit="/s" />
      <Stat label="Server errors" value={formatCompact(now.errors_per_second)} unit="/s" />
      <Stat label="Latency p50" value={formatMillis(now.p50)} />
      <Stat label="Latency p99" value={formatMillis(now.p99)} />
      <Stat label="Connections" value={formatCount(now.connections)} />
      <Stat label="Requests served" value={formatCompact(now.requests)} note="since start" />
    </StatRow>
  );
}

function SealCard({ now }: { now: Health }) {
  const vault = sealStatus.value;
  return (
    <Card title="Seal and keys">
      <DescriptionList
        rows={[
          ["Unsealed", <RelativeTime key="o" at={now.opened_at} />],
          [
            "Unsealed with",
            vault?.type === "shamir" ? `${vault.t} of ${vault.n} key shares` : "Key file",
          ],
          ["Key generation", formatCount(now.key_generation)],
          ["Key created", <Timestamp key="k" at={now.key_created_at} />],
          ["Key uses", formatCount(now.key_uses)],
          ["Keyring epoch", formatCount(now.key_epoch)],
          ["Version", now.version],
        ]}
      />
    </Card>
  );
}

function CacheCard({ now }: { now: Health }) {
  return (
    <Card title="Storage cache">
      <DescriptionList
        rows={[
          ["Entries", formatCount(now.cache_entries)],
          ["Size", `${formatBytes(now.cache_bytes)} of ${formatBytes(now.cache_max_bytes)}`],
          ["Hit rate since start", formatPercent(now.cache_hit_rate / 100)],
        ]}
      />
    </Card>
  );
}

function sinkState({ error, behind, on_reserve }: Sink): [string, string] {
  if (error) return ["failed", "Failing"];
  if (behind) return ["warning", "Behind"];
  return on_reserve ? ["warning", "Using disk reserve"] : ["ok", "Working"];
}

function SealDialog({ onClose }: { onClose: () => void }) {
  const submit = async () => {
    await post("system/seal");
    await refreshSealStatus();
  };
  return (
    <Dialog title="Seal the vault?" submitLabel="Seal" danger onSubmit={submit} onClose={onClose}>
      <p>
        The agent finishes requests in flight, then removes the keys from memory. It serves nothing
        until an operator unseals it with the key shares or the key file. A restart does not unseal
        it.
      </p>
    </Dialog>
  );
}
