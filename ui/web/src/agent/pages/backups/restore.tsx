import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { type ListPage, usePagination } from "../../../components/pagination";
import { Await, EmptyState, Notice } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { get, post } from "../../../lib/api";
import { formatCount, pluralize } from "../../../lib/format";
import { useAction, useGet } from "../../../lib/hooks";
import type { Backup, BackupRun, RestoredPage, RestoredSecret } from "../../api-types";
import { OutcomeBadge, RunCard, useRun } from "./runs";

const PAGE_SIZE = 500;

interface RestoreRequest {
  names: string[];
  overwrite: boolean;
  dry_run: boolean;
}

/** A restore that has begun, and what it was asked for. */
export interface RestoreStarted {
  backup: Backup;
  request: RestoreRequest;
  run: string;
}

/** Begin to put secrets of a backup back, or to see what that would do. */
export async function startRestore(
  backup: Backup,
  request: RestoreRequest,
): Promise<RestoreStarted> {
  const body = { ...request, destination: backup.destination };
  const run = await post<BackupRun>(`backups/${encodeURIComponent(backup.id)}/restore`, body);
  return { backup, request, run: run.id };
}

const ACTIONS: Record<RestoredSecret["action"], [string, string, string]> = {
  create: ["active", "Create", "Created"],
  write: ["applied", "New version", "New version"],
  keep: ["disabled", "Keep", "Kept"],
  skip: ["empty", "No value", "No value"],
  missing: ["gap", "Not found", "Not found"],
  failed: ["failed", "Refused", "Failed"],
};

function columns(isDryRun: boolean): Column<RestoredSecret>[] {
  return [
    {
      name: "name",
      title: "Secret",
      cell: row => <span title={row.name}>{row.name}</span>,
      sortBy: row => row.name,
    },
    {
      name: "action",
      title: isDryRun ? "Would do" : "Done",
      width: "9rem",
      cell: ({ action }) => (
        <StatusBadge status={ACTIONS[action][0]} label={ACTIONS[action][isDryRun ? 1 : 2]} />
      ),
      sortBy: row => row.action,
    },
    {
      name: "backup",
      title: "In backup",
      width: "6.5rem",
      numeric: true,
      wideOnly: true,
      cell: row => version(row.backup_version),
    },
    {
      name: "current",
      title: "Before",
      width: "6rem",
      numeric: true,
      wideOnly: true,
      cell: row => version(row.current_version),
    },
    {
      name: "written",
      title: "Written",
      width: "6rem",
      numeric: true,
      wideOnly: true,
      cell: row => version(row.written_version),
    },
    {
      name: "note",
      title: "Note",
      width: "18rem",
      wideOnly: true,
      cell: row => <span title={row.note}>{row.note || "–"}</span>,
    },
  ];
}

function version(number: number) {
  return number ? formatCount(number) : "–";
}

interface RestoreResultProps {
  started: RestoreStarted;
  onBegin: (started: RestoreStarted) => void;
}

/** What a restore does with each secret. After a dry run a button writes them. */
export function RestoreResult({ started, onBegin }: RestoreResultProps) {
  const { request, backup } = started;
  const query = useRun(started.run);
  const run = query.data;
  const write = useAction(async () =>
    onBegin(await startRestore(backup, { ...request, dry_run: false })),
  );
  if (!run || run.outcome === "running") return <RunCard query={query} />;
  const count = (run.secrets.create ?? 0) + (run.secrets.write ?? 0);
  return (
    <Card
      title={request.dry_run ? "Dry run of a restore" : "Restore of secrets"}
      flush
      aside={
        <>
          <OutcomeBadge run={run} />
          {request.dry_run && count > 0 && (
            <Button kind="primary" busy={write.busy} onClick={write.run}>
              {`Write ${pluralize(count, "secret")}`}
            </Button>
          )}
        </>
      }
    >
      {run.error && <Notice tone="bad">{run.error}</Notice>}
      {write.error && <Notice tone="bad">{write.error.message}</Notice>}
      {!request.dry_run && !run.error && (
        <Notice tone="good">{`${pluralize(count, "secret")} written.`}</Notice>
      )}
      <Secrets run={run} />
    </Card>
  );
}

function Secrets({ run }: { run: BackupRun }) {
  const query = useGet<RestoredPage>(secretsPath(run), { limit: PAGE_SIZE });
  return (
    <Await query={query}>{page => <SecretTable key={page.cursor} run={run} first={page} />}</Await>
  );
}

function SecretTable({ run, first }: { run: BackupRun; first: RestoredPage }) {
  const [shown] = useState(() => columns(run.dry_run));
  const found = usePagination(listPage(first), async cursor =>
    listPage(await get<RestoredPage>(secretsPath(run), { query: { limit: PAGE_SIZE, cursor } })),
  );
  return (
    <>
      <Table
        label="Secrets of the restore"
        columns={shown}
        rows={found.rows}
        keyOf={({ name }) => name}
        height="24rem"
        empty={<EmptyState icon="lock" title="No secrets" />}
      />
      {found.loadMore}
    </>
  );
}

function secretsPath(run: BackupRun): string {
  return `backups/runs/${encodeURIComponent(run.id)}/secrets`;
}

function listPage({ secrets, cursor }: RestoredPage): ListPage<RestoredSecret, string> {
  return { rows: secrets, next: cursor };
}
