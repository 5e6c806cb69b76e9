import { useState } from "preact/hooks";
import { useNow } from "../../agent/live";
import { lookAtSeal, seal } from "../../agent/seal";
import type { Disk, Health, Sink } from "../../agent/wire";
import { post } from "../../lib/api";
import { bytes, compact, count, millis, percent, plural } from "../../lib/format";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card, Facts, Figure, Figures } from "../../parts/card";
import { Dialog } from "../../parts/dialog";
import { LinkState } from "../../parts/linkstate";
import { Page } from "../../parts/page";
import { Failure, Loading, Notice, Stale } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { Moment, TimeAgo } from "../../parts/time";

const COLUMNS: Column<Sink>[] = [
  { name: "name", title: "Copy", cell: row => <span title={row.name}>{row.name}</span> },
  {
    name: "state",
    title: "State",
    width: "9rem",
    cell: row => <State of={standing(row)[0]} label={standing(row)[1]} />,
  },
  { name: "size", title: "Records", width: "7rem", number: true, cell: row => count(row.size) },
  {
    name: "error",
    title: "Last error",
    width: "16rem",
    wide: true,
    cell: row => <span title={row.error}>{row.error || "–"}</span>,
  },
];

const PLACES: Record<string, string> = {
  data: "Database",
  audit: "Audit log",
  anchor: "Anchor",
  link: "Control plane link",
};

const DISKS: Column<Disk>[] = [
  { name: "place", title: "Place", cell: row => PLACES[row.place] ?? row.place },
  {
    name: "state",
    title: "State",
    width: "9rem",
    cell: row => <State of={row.low ? "warning" : "ok"} label={row.low ? "Nearly full" : "OK"} />,
  },
  { name: "free", title: "Free", width: "7rem", number: true, cell: row => bytes(row.free) },
  { name: "total", title: "Size", width: "7rem", number: true, cell: row => bytes(row.total) },
];

/** How the agent does at this moment: load, seal, keys, store, audit log. */
export default function HealthPage() {
  const [now, live] = useNow<Health>("health");
  const [asks, setAsks] = useState(false);
  if (live.error.value) return <Failure error={live.error.value} />;
  if (!now) return <Loading />;
  return (
    <Page
      title="Health"
      state={
        <>
          <State of="serving" filled />
          <LinkState />
        </>
      }
      actions={
        <Button kind="danger" icon="lock" onClick={() => setAsks(true)}>
          Seal…
        </Button>
      }
    >
      <div class="stack">
        <Stale freshness={live.freshness.value} />
        {now.trouble && <Notice tone="bad">{now.trouble}</Notice>}
        {now.rotation_due && (
          <Notice tone="warn">The key-encryption key is due to be rotated.</Notice>
        )}
        {now.disks.some(disk => disk.low) && (
          <Notice tone="warn">
            A disk is nearly full. Free some space before requests are refused.
          </Notice>
        )}
        <Load now={now} />
        <div class="columns">
          <Seal now={now} />
          <Store now={now} />
        </div>
        <Card title="Audit log" flush aside={plural(now.audit_size, "record")}>
          <Table
            label="Copies of the log"
            columns={COLUMNS}
            rows={now.sinks}
            keyOf={s => s.name}
            height="14rem"
          />
        </Card>
        <Card title="Disks" flush>
          <Table
            label="Disks"
            columns={DISKS}
            rows={now.disks}
            keyOf={disk => disk.place}
            height="12rem"
          />
        </Card>
      </div>
      {asks && <AskSeal close={() => setAsks(false)} />}
    </Page>
  );
}

function Load({ now }: { now: Health }) {
  return (
    <Figures>
      <Figure label="Requests" value={compact(now.requests_per_second)} unit="/s" />
      <Figure label="Own faults" value={compact(now.errors_per_second)} unit="/s" />
      <Figure label="Latency p50" value={millis(now.p50)} />
      <Figure label="Latency p99" value={millis(now.p99)} />
      <Figure label="Connections" value={count(now.connections)} />
      <Figure label="Answered" value={compact(now.requests)} note="since its start" />
    </Figures>
  );
}

function Seal({ now }: { now: Health }) {
  const vault = seal.value;
  return (
    <Card title="Seal and keys">
      <Facts
        rows={[
          ["Unsealed", <TimeAgo key="o" at={now.opened_at} />],
          ["By", vault?.type === "shamir" ? `${vault.t} of ${vault.n} shares` : "its key file"],
          ["Key generation", count(now.key_generation)],
          ["Made", <Moment key="k" at={now.key_created_at} />],
          ["Uses", count(now.key_uses)],
          ["Keyring epoch", count(now.key_epoch)],
          ["Version", now.version],
        ]}
      />
    </Card>
  );
}

function Store({ now }: { now: Health }) {
  return (
    <Card title="Cache of sealed rows">
      <Facts
        rows={[
          ["Rows", count(now.cache_entries)],
          ["Size", `${bytes(now.cache_bytes)} of ${bytes(now.cache_max_bytes)}`],
          ["Hits since the start", percent(now.cache_hit_rate / 100)],
        ]}
      />
    </Card>
  );
}

function standing({ error, behind, on_reserve }: Sink): [string, string] {
  if (error) return ["failed", "Failing"];
  if (behind) return ["warning", "Behind"];
  return on_reserve ? ["warning", "On its reserve"] : ["ok", "Works"];
}

function AskSeal({ close }: { close: () => void }) {
  const act = async () => {
    await post("system/seal");
    await lookAtSeal();
  };
  return (
    <Dialog title="Seal the vault" action="Seal" danger act={act} close={close}>
      <p>
        Requests in flight are answered, then the keys leave the memory and nothing is served until
        somebody unseals it with its shares or its key file. A restart does not.
      </p>
    </Dialog>
  );
}
