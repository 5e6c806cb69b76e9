import { useState } from "preact/hooks";
import type { Replayed, ReplayedChange } from "../../../agent/wire";
import { post } from "../../../lib/api";
import { count } from "../../../lib/format";
import { useAct } from "../../../lib/hooks";
import type { PolicyDocument } from "../../../lib/types";
import { State } from "../../../parts/badge";
import { Button } from "../../../parts/button";
import { Card } from "../../../parts/card";
import { Choice } from "../../../parts/field";
import { Counted, SPANS } from "../../../parts/replayed";
import { Notice } from "../../../parts/states";
import { type Column, Table } from "../../../parts/table";
import { Moment } from "../../../parts/time";

const WHY: Record<string, string> = {
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
      <State of={allowed ? "ok" : "denied"} label={allowed ? "Allowed" : "Denied"} />
    ),
  },
  { name: "who", title: "Who", cell: ({ actor_name }) => actor_name, by: row => row.actor_name },
  { name: "what", title: "Does", cell: ({ operation }) => operation, by: row => row.operation },
  {
    name: "path",
    title: "To",
    cell: ({ path }) => <code title={path}>{path}</code>,
    by: row => row.path,
  },
  {
    name: "rule",
    title: "By",
    wide: true,
    cell: ({ rule }) => (rule ? <code>{rule}</code> : <span class="muted">no rule</span>),
  },
  {
    name: "count",
    title: "Times",
    number: true,
    width: "6rem",
    cell: row => count(row.count),
    by: row => row.count,
  },
];

interface ReplayProps {
  name: string;
  /** What is typed; null while it is faulty. */
  document: PolicyDocument | null;
}

/** What the document would have changed of the accesses on record. Asking changes nothing. */
export function Replay({ name, document }: ReplayProps) {
  const [hours, setHours] = useState("24");
  const [found, setFound] = useState<Replayed | null>(null);
  const { run, busy, error } = useAct(async () => {
    setFound(null);
    const write = [{ ...document, name }];
    setFound(await post<Replayed>("policies-replay", { write, hours: Number(hours) }));
  });
  return (
    <Card title="What would have changed">
      <form class="form" onSubmit={run}>
        <div class="pick">
          <Choice label="Accesses of" value={hours} change={setHours} options={SPANS} />
          <Button type="submit" kind="primary" busy={busy} disabled={!document}>
            Replay
          </Button>
        </div>
        <p class="muted small">
          The accesses on record are decided again with the document as it is typed, each with its
          address and time and with what its caller holds now.
        </p>
        {error && <Notice tone="bad">{error.message}</Notice>}
        {found && <Found of={found} />}
      </form>
    </Card>
  );
}

function Found({ of }: { of: Replayed }) {
  const undecided = Object.entries(of.undecided);
  return (
    <div class="stack" role="status">
      <Counted of={of} undecided={undecided.reduce((sum, [, number]) => sum + number, 0)} />
      {of.stopped && (
        <Notice tone="warn">
          There is more on record than is looked at: only what came after <Moment at={of.reached} />{" "}
          was.
        </Notice>
      )}
      {undecided.map(([why, number]) => (
        <p class="muted small" key={why}>
          {count(number)} cannot be decided again: {WHY[why] ?? why}.
        </p>
      ))}
      {of.changes.length > 0 && (
        <Table
          label="What would change"
          columns={COLUMNS}
          rows={of.changes}
          keyOf={row => [row.actor_id, row.operation, row.path, row.rule, row.capability].join("|")}
        />
      )}
      {of.others > 0 && <p class="muted small">{count(of.others)} more are not listed.</p>}
    </div>
  );
}
