import { useState } from "preact/hooks";
import { StatusBadge } from "../../components/badge";
import { Button } from "../../components/button";
import { Card, DescriptionList } from "../../components/card";
import { CodeBlock } from "../../components/code-block";
import { Page } from "../../components/page";
import { Await, EmptyState, Notice } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { get } from "../../lib/api";
import { formatBytes, formatCount, pluralize } from "../../lib/format";
import { useAction, useGet } from "../../lib/hooks";
import { query, setQuery } from "../../lib/router";
import type { EgressEntry, EgressPage, EgressVerification } from "../api-types";
import "./pages.css";
import { Timestamp } from "../../components/time";
import { timeColumn } from "../../components/time-column";

const PAGE_SIZE = 100;
const VERIFY_TIMEOUT = 300_000; // milliseconds; the whole ledger is read
const COLUMNS: Column<EgressEntry>[] = [
  {
    name: "entry",
    title: "Entry",
    width: "5.5rem",
    numeric: true,
    cell: row => formatCount(row.entry),
  },
  timeColumn("time", "Time", row => row.time, { wideOnly: true }),
  { name: "kind", title: "Kind", width: "5.5rem", wideOnly: true, cell: row => row.kind },
  {
    name: "length",
    title: "Size",
    width: "5.5rem",
    numeric: true,
    cell: row => formatBytes(row.length),
  },
  { name: "says", title: "Content", cell: row => <span title={row.says}>{row.says}</span> },
];

/** The egress ledger: every byte that was sent to a control plane. */
export default function EgressLedger() {
  const before = Number(query.value.get("before") ?? 0);
  const [selected, setSelected] = useState<EgressEntry | null>(null);
  const result = useGet<EgressPage>("system/egress", { before, limit: PAGE_SIZE });
  return (
    <Page title="Egress ledger" actions={<VerifyLedger />}>
      <div class="stack">
        <Await query={result}>
          {page => (
            <Card title="Entries" flush aside={pluralize(page.entries.length, "entry", "entries")}>
              <Table
                label="Entries"
                columns={COLUMNS}
                rows={page.entries}
                keyOf={({ entry }) => `${entry}`}
                onOpen={setSelected}
                empty={
                  <EmptyState icon="report" title="Nothing sent">
                    An agent without a control plane sends nothing.
                  </EmptyState>
                }
              />
              <PageButtons before={before} next={page.before} />
            </Card>
          )}
        </Await>
        {selected && <EntryDetails entry={selected} />}
      </div>
    </Page>
  );
}

function PageButtons({ before, next }: { before: number; next: number }) {
  if (!before && !next) return null;
  return (
    <p class="line">
      {before > 0 && <Button onClick={() => setQuery({ before: "" })}>Show newest</Button>}
      {next > 0 && <Button onClick={() => setQuery({ before: `${next}` })}>Show older</Button>}
    </p>
  );
}

function EntryDetails({ entry }: { entry: EgressEntry }) {
  return (
    <Card title={`Entry ${entry.entry}`}>
      <div class="stack">
        <DescriptionList
          rows={[
            ["Time", <Timestamp key="t" at={entry.time} />],
            ["Destination", `${entry.peer} ${entry.path}`],
            ["Connection", entry.connection],
            ["Bytes", `${formatCount(entry.length)} at offset ${formatCount(entry.offset)}`],
            ["SHA-256", <code key="h">{entry.sha256}</code>],
          ]}
        />
        <CodeBlock label="Content" text={entry.says} />
      </div>
    </Card>
  );
}

/** Verifies every hash, the chain and the offsets of each connection. */
function VerifyLedger() {
  const [result, setResult] = useState<EgressVerification | null>(null);
  const { run, busy, error } = useAction(async () => {
    setResult(
      await get<EgressVerification>("system/egress-verification", { timeout: VERIFY_TIMEOUT }),
    );
  });
  return (
    <>
      {error && <Notice tone="bad">{error.message}</Notice>}
      {result && (
        <span role="status">
          <StatusBadge
            status={result.fault ? "damaged" : "whole"}
            label={
              result.fault ||
              `Intact: ${pluralize(result.entries, "entry", "entries")}, ${formatBytes(result.bytes)}`
            }
          />
        </span>
      )}
      <Button kind="primary" busy={busy} onClick={run}>
        Verify ledger
      </Button>
    </>
  );
}
