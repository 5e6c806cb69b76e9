import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { SelectField } from "../../../components/field";
import { REPLAY_PERIODS, ReplaySummary } from "../../../components/replay-summary";
import { Notice } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { Timestamp } from "../../../components/time";
import { post } from "../../../lib/api";
import type { PolicyDocument } from "../../../lib/api-types";
import { formatCount } from "../../../lib/format";
import { useAction } from "../../../lib/hooks";
import type { ReplayedChange, ReplayResult } from "../../api-types";

const UNDECIDED_REASONS: Record<string, string> = {
  credential_gone: "the token or key no longer exists",
  secret_changed: "the decision depends on tags or metadata that have changed",
  record_cut: "the index holds only part of the path",
};

const COLUMNS: Column<ReplayedChange>[] = [
  {
    name: "allowed",
    title: "New decision",
    width: "9rem",
    cell: ({ allowed }) => (
      <StatusBadge status={allowed ? "ok" : "denied"} label={allowed ? "Allowed" : "Denied"} />
    ),
  },
  {
    name: "who",
    title: "Actor",
    cell: ({ actor_name }) => actor_name,
    sortBy: row => row.actor_name,
  },
  {
    name: "what",
    title: "Operation",
    cell: ({ operation }) => operation,
    sortBy: row => row.operation,
  },
  {
    name: "path",
    title: "Path",
    cell: ({ path }) => <code title={path}>{path}</code>,
    sortBy: row => row.path,
  },
  {
    name: "rule",
    title: "Rule",
    wideOnly: true,
    cell: ({ rule }) => (rule ? <code>{rule}</code> : <span class="muted">No rule</span>),
  },
  {
    name: "count",
    title: "Count",
    numeric: true,
    width: "6rem",
    cell: row => formatCount(row.count),
    sortBy: row => row.count,
  },
];

interface ReplayProps {
  name: string;
  /** The edited document. Null while it is invalid. */
  document: PolicyDocument | null;
}

/** Evaluates the recorded accesses again with the edited policy. Changes nothing. */
export function PolicyReplay({ name, document }: ReplayProps) {
  const [hours, setHours] = useState("24");
  const [result, setResult] = useState<ReplayResult | null>(null);
  const { run, busy, error } = useAction(async () => {
    setResult(null);
    const write = [{ ...document, name }];
    setResult(await post<ReplayResult>("policies-replay", { write, hours: Number(hours) }));
  });
  return (
    <Card title="Replay of recorded accesses">
      <form class="form" onSubmit={run}>
        <div class="field-row">
          <SelectField label="Period" value={hours} onChange={setHours} options={REPLAY_PERIODS} />
          <Button type="submit" kind="primary" busy={busy} disabled={!document}>
            {" "}
            Run replay{" "}
          </Button>
        </div>
        <p class="muted small">
          Evaluates the recorded accesses again with this draft. Each access keeps its address and
          time, with the caller's current permissions.
        </p>
        {error && <Notice tone="bad">{error.message}</Notice>}
        {result && <ReplayDetails result={result} />}
      </form>
    </Card>
  );
}

function ReplayDetails({ result }: { result: ReplayResult }) {
  const undecided = Object.entries(result.undecided);
  return (
    <div class="stack" role="status">
      <ReplaySummary
        counts={result}
        undecided={undecided.reduce((sum, [, number]) => sum + number, 0)}
      />
      {result.stopped && (
        <Notice tone="warn">
          Too many recorded accesses. Only those after <Timestamp at={result.reached} /> were
          evaluated.
        </Notice>
      )}
      {undecided.map(([why, number]) => (
        <p class="muted small" key={why}>
          {formatCount(number)} not evaluated: {UNDECIDED_REASONS[why] ?? why}.
        </p>
      ))}
      {result.changes.length > 0 && (
        <Table
          label="Changed decisions"
          columns={COLUMNS}
          rows={result.changes}
          keyOf={row => [row.actor_id, row.operation, row.path, row.rule, row.capability].join("|")}
        />
      )}
      {result.others > 0 && (
        <p class="muted small">{formatCount(result.others)} more not listed.</p>
      )}
    </div>
  );
}
