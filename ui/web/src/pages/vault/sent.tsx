import { useState } from "preact/hooks";
import type { Sent, SentPage, SentVerdict } from "../../agent/wire";
import { get } from "../../lib/api";
import { bytes, count, plural } from "../../lib/format";
import { useAct, useGet } from "../../lib/hooks";
import { query, setQuery } from "../../lib/router";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card, Facts } from "../../parts/card";
import { Code } from "../../parts/code";
import { Page } from "../../parts/page";
import { Await, Empty, Notice } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import "./vault.css";
import { Moment } from "../../parts/time";
import { timeColumn } from "../../parts/timecolumn";

const PAGE = 100;
const PATIENCE = 300_000; // milliseconds: the whole ledger is read
const COLUMNS: Column<Sent>[] = [
  { name: "entry", title: "Entry", width: "5.5rem", number: true, cell: row => count(row.entry) },
  timeColumn("time", "When", row => row.time, { wide: true }),
  { name: "kind", title: "Kind", width: "5.5rem", wide: true, cell: row => row.kind },
  {
    name: "length",
    title: "Size",
    width: "5.5rem",
    number: true,
    cell: row => bytes(row.length),
  },
  { name: "says", title: "Says", cell: row => <span title={row.says}>{row.says}</span> },
];

/** The egress ledger: every byte that ever left for a control plane. */
export default function SentPageView() {
  const before = Number(query.value.get("before") ?? 0);
  const [chosen, setChosen] = useState<Sent | null>(null);
  const found = useGet<SentPage>("system/egress", { before, limit: PAGE });
  return (
    <Page title="What left" actions={<Verify />}>
      <div class="stack">
        <Await of={found}>
          {page => (
            <Card
              title="Egress ledger"
              flush
              aside={plural(page.entries.length, "entry", "entries")}
            >
              <Table
                label="Entries"
                columns={COLUMNS}
                rows={page.entries}
                keyOf={({ entry }) => `${entry}`}
                open={setChosen}
                empty={
                  <Empty icon="report" title="Nothing has left">
                    Without a control plane this agent sends nothing to anybody.
                  </Empty>
                }
              />
              <Turns before={before} next={page.before} />
            </Card>
          )}
        </Await>
        {chosen && <One of={chosen} />}
      </div>
    </Page>
  );
}

function Turns({ before, next }: { before: number; next: number }) {
  if (!before && !next) return null;
  return (
    <p class="line">
      {before > 0 && <Button onClick={() => setQuery({ before: "" })}>Newest</Button>}
      {next > 0 && <Button onClick={() => setQuery({ before: `${next}` })}>Older</Button>}
    </p>
  );
}

function One({ of }: { of: Sent }) {
  return (
    <Card title={`Entry ${of.entry}`}>
      <div class="stack">
        <Facts
          rows={[
            ["When", <Moment key="t" at={of.time} />],
            ["To", `${of.peer} ${of.path}`],
            ["Connection", of.connection],
            ["Bytes", `${count(of.length)} from ${count(of.offset)} on`],
            ["SHA-256", <code key="h">{of.sha256}</code>],
          ]}
        />
        <Code label="What it says" text={of.says} />
      </div>
    </Card>
  );
}

/** Every hash, the chain, each connection's offsets. */
function Verify() {
  const [found, setFound] = useState<SentVerdict | null>(null);
  const { run, busy, error } = useAct(async () => {
    setFound(await get<SentVerdict>("system/egress-verification", { timeout: PATIENCE }));
  });
  return (
    <>
      {error && <Notice tone="bad">{error.message}</Notice>}
      {found && (
        <span role="status">
          <State
            of={found.fault ? "damaged" : "whole"}
            label={
              found.fault ||
              `Whole: ${plural(found.entries, "entry", "entries")}, ${bytes(found.bytes)}`
            }
          />
        </span>
      )}
      <Button kind="primary" busy={busy} onClick={run}>
        Verify the ledger
      </Button>
    </>
  );
}
