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
  credential_gone: "their token or key is gone, and with it what it held",
  secret_changed: "tags or metadata have a say, and are not known as of then",
  record_cut: "the index has no whole path of them",
};

const COLUMNS: Column<ReplayedChange>[] = [
  {
    name: "allowed",
    title: "From then on",
    width: "9rem",
    cell: ({ allowed }) => (
      <StatusBadge status={allowed ? "ok" : "denied"} label={allowed ? "Allowed" : "Denied"} />
    ),
  },
  {
    name: "who",
    title: "Who",
    cell: ({ actor_name }) => actor_name,
    sortBy: row => row.actor_name,
  },
  { name: "what", title: "Does", cell: ({ operation }) => operation, sortBy: row => row.operation },
  {
    name: "path",
    title: "To",
    cell: ({ path }) => <code title={path}>{path}</code>,
    sortBy: row => row.path,
  },
  {
    name: "rule",
    title: "By",
    wideOnly: true,
    cell: ({ rule }) => (rule ? <code>{rule}</code> : <span class="muted">no rule</span>),
  },
  {
    name: "count",
    title: "Times",
    numeric: true,
    width: "6rem",
    cell: row => formatCount(row.count),
    sortBy: row => row.count,
  },
];

interface ReplayProps {
  name: string;
  /** What is typed; null while it is faulty. */
  document: PolicyDocument | null;
}

/** What the document would have changed of the accesses on record. Asking changes nothing. */
export function PolicyReplay({ name, document }: ReplayProps) {
  const [hours, setHours] = useState("24");
  const [result, setFound] = useState<ReplayResult | null>(null);
  const { run, busy, error } = useAction(async () => {
    setFound(null);
    const write = [{ ...document, name }];
    setFound(await post<ReplayResult>("policies-replay", { write, hours: Number(hours) }));
  });
  return (
    <Card title="What would have changed">
      <form class="form" onSubmit={run}>
        <div class="pick">
          <SelectField
            label="Accesses of"
            value={hours}
            onChange={setHours}
            options={REPLAY_PERIODS}
          />
          <Button type="submit" kind="primary" busy={busy} disabled={!document}>
            Replay
          </Button>
        </div>
        <p class="muted small">
          The accesses on record are decided again with the document as it is typed, each with its
          address and time and with what its caller holds now.
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
          There is more on record than is looked at: only what came after{" "}
          <Timestamp at={result.reached} /> was.
        </Notice>
      )}
      {undecided.map(([why, number]) => (
        <p class="muted small" key={why}>
          {formatCount(number)} cannot be decided again: {UNDECIDED_REASONS[why] ?? why}.
        </p>
      ))}
      {result.changes.length > 0 && (
        <Table
          label="What would change"
          columns={COLUMNS}
          rows={result.changes}
          keyOf={row => [row.actor_id, row.operation, row.path, row.rule, row.capability].join("|")}
        />
      )}
      {result.others > 0 && (
        <p class="muted small">{formatCount(result.others)} more are not listed.</p>
      )}
    </div>
  );
}
