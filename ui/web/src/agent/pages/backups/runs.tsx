import { useEffect } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { ProgressBar } from "../../../components/progress";
import { Await, EmptyState, ErrorState, Loading, Notice } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { remove } from "../../../lib/api";
import { formatBytes, formatCount, humanize } from "../../../lib/format";
import { type Query, useAction, useGet } from "../../../lib/hooks";
import type { BackupRun } from "../../api-types";

const POLL_INTERVAL = 1_000; // milliseconds; each look is a record on the audit log

/** A run, looked at again and again until it has ended. `onEnd` is called once. */
export function useRun(id: string, onEnd?: () => void): Query<BackupRun> {
  const query = useGet<BackupRun>(`backups/runs/${encodeURIComponent(id)}`);
  const { data, loading, error } = query;
  useEffect(() => {
    if (loading || !data) return;
    if (data.outcome !== "running") return onEnd?.();
    const timer = setTimeout(query.reload, POLL_INTERVAL);
    return () => clearTimeout(timer);
  }, [data, loading, error]);
  return query;
}

const TITLES = { backup: "Backup run", validation: "Validation", restore: "Restore of secrets" };

const OUTCOMES: Record<BackupRun["outcome"], string> = {
  running: "running",
  succeeded: "ok",
  failed: "failed",
  cancelled: "disabled",
};

export function OutcomeBadge({ run }: { run: BackupRun }) {
  return <StatusBadge status={OUTCOMES[run.outcome]} label={humanize(run.outcome)} />;
}

/** How far a run is, looked at until it has ended. */
export function RunProgress({ id, onEnd }: { id: string; onEnd: () => void }) {
  return <RunCard query={useRun(id, onEnd)} />;
}

/** How far a run is, with a button that cancels it. */
export function RunCard({ query }: { query: Query<BackupRun> }) {
  const { data: run, error, reload } = query;
  const cancel = useAction(async () => {
    await remove(`backups/runs/${encodeURIComponent(run?.id ?? "")}`);
    reload();
  });
  if (!run) return error ? <ErrorState error={error} onRetry={reload} /> : <Loading />;
  const isRunning = run.outcome === "running";
  return (
    <Card
      title={TITLES[run.kind]}
      aside={
        isRunning && (
          <Button busy={cancel.busy} onClick={cancel.run}>
            Cancel run
          </Button>
        )
      }
    >
      <div class="stack">
        <span class="line" role="status">
          <OutcomeBadge run={run} />
          {isRunning && `${run.destination}: ${run.phase}, ${formatBytes(run.bytes)}`}
        </span>
        {isRunning && (
          <ProgressBar
            label={run.phase || "Progress"}
            segments={[{ tone: "info", value: Math.min(run.done, run.total ?? run.done) }]}
            total={run.total || run.done || 1}
          />
        )}
        {run.error && <Notice tone="bad">{run.error}</Notice>}
        {error && <Notice tone="warn">{error.message}</Notice>}
        {cancel.error && <Notice tone="bad">{cancel.error.message}</Notice>}
      </div>
    </Card>
  );
}

const COLUMNS: Column<BackupRun>[] = [
  timeColumn("started", "Started", row => row.started_at, { sortable: true }),
  {
    name: "kind",
    title: "Run",
    cell: row => TITLES[row.kind] + (row.dry_run ? " (dry run)" : ""),
  },
  { name: "outcome", title: "Outcome", width: "8rem", cell: row => <OutcomeBadge run={row} /> },
  {
    name: "by",
    title: "Requested by",
    width: "11rem",
    wideOnly: true,
    cell: row => row.requested_by,
  },
  {
    name: "done",
    title: "Rows",
    width: "6rem",
    numeric: true,
    wideOnly: true,
    cell: row => formatCount(row.done),
  },
  {
    name: "error",
    title: "Error",
    width: "18rem",
    wideOnly: true,
    cell: row => <span title={row.error}>{row.error || "–"}</span>,
  },
];

/** The last runs of this agent. */
export function Runs({ onOpen }: { onOpen: (run: BackupRun) => void }) {
  const found = useGet<{ runs: BackupRun[] }>("backups/runs");
  return (
    <Await query={found}>
      {({ runs }) => (
        <Card title="Runs of this agent" flush>
          <Table
            label="Runs"
            columns={COLUMNS}
            rows={runs}
            keyOf={({ id }) => id}
            onOpen={onOpen}
            height="18rem"
            empty={
              <EmptyState icon="report" title="No runs yet">
                An agent forgets its runs when it is sealed or stopped.
              </EmptyState>
            }
          />
        </Card>
      )}
    </Await>
  );
}
