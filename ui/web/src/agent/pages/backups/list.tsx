import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Card } from "../../../components/card";
import { Select } from "../../../components/field";
import { type ListPage, usePagination } from "../../../components/pagination";
import { EmptyState, Notice } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { get } from "../../../lib/api";
import { formatBytes, formatMillis, pluralize } from "../../../lib/format";
import { AGENT_LIMITS } from "../../../lib/limits";
import type { Backup, BackupPage } from "../../api-types";

export const PAGE_SIZE = AGENT_LIMITS.backups;

const COLUMNS: Column<Backup>[] = [
  timeColumn("created", "Made", row => row.created_at, { sortable: true }),
  {
    name: "id",
    title: "Backup",
    cell: row => <code title={row.id}>{row.id}</code>,
  },
  {
    name: "destination",
    title: "Destination",
    width: "9rem",
    wideOnly: true,
    cell: row => row.destination,
    sortBy: row => row.destination,
  },
  { name: "kind", title: "Kind", width: "7rem", wideOnly: true, cell: row => row.kind || "–" },
  {
    name: "bytes",
    title: "Size",
    width: "6rem",
    numeric: true,
    wideOnly: true,
    cell: row => formatBytes(row.bytes),
    sortBy: row => row.bytes,
  },
  {
    name: "verified",
    title: "Manifest",
    width: "8rem",
    cell: row => (
      <span title={row.fault}>
        <StatusBadge
          status={row.verified ? "good" : "failed"}
          label={row.verified ? "Verified" : "Not verified"}
        />
      </span>
    ),
  },
  {
    name: "proven",
    title: "Certificate",
    width: "11rem",
    wideOnly: true,
    cell: ({ certificate }) =>
      certificate ? (
        <StatusBadge
          status="good"
          label={
            certificate.rto_ms === null
              ? "Chunks verified"
              : `RTO ${formatMillis(certificate.rto_ms)}`
          }
        />
      ) : (
        <span class="muted">–</span>
      ),
  },
];

interface BackupListProps {
  first: BackupPage;
  onOpen: (backup: Backup) => void;
}

/** All backups, newest first, of all destinations or of one. */
export function BackupList({ first, onOpen }: BackupListProps) {
  const [at, setAt] = useState("");
  const found = usePagination(listPage(first), async cursor =>
    listPage(await get<BackupPage>("backups", { query: { limit: PAGE_SIZE, cursor } })),
  );
  const names = [...new Set(found.rows.map(row => row.destination))].sort();
  const rows = found.rows.filter(row => !at || row.destination === at);
  return (
    <Card title="All backups" flush aside={pluralize(rows.length, "backup") + found.suffix}>
      {first.faults.map(({ destination, message }) => (
        <Notice key={destination} tone="bad">
          The backups of {destination} are not listed: {message}
        </Notice>
      ))}
      {names.length > 1 && (
        <div class="toolbar">
          <Select
            aria-label="Destination"
            value={at}
            onChange={setAt}
            options={[["", "All destinations"], ...names.map(name => [name, name] as const)]}
          />
        </div>
      )}
      <Table
        label="Backups"
        columns={COLUMNS}
        rows={rows}
        keyOf={row => `${row.id} ${row.destination}`}
        onOpen={onOpen}
        height="26rem"
        empty={
          <EmptyState icon="report" title="No backups yet">
            “Back up now” makes the first one.
          </EmptyState>
        }
      />
      {found.loadMore}
    </Card>
  );
}

function listPage({ backups, cursor }: BackupPage): ListPage<Backup, string> {
  return { rows: backups, next: cursor };
}
