import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { AuditEvent, Proof } from "../../../agent/wire";
import { get } from "../../../lib/api";
import { useAct } from "../../../lib/hooks";
import { State } from "../../../parts/badge";
import { Button } from "../../../parts/button";
import { Card, Facts } from "../../../parts/card";
import { Code } from "../../../parts/code";
import { Empty, Notice } from "../../../parts/states";
import { type Column, Table } from "../../../parts/table";
import { Moment } from "../../../parts/time";
import { timeColumn } from "../../../parts/timecolumn";

const PATIENCE = 300_000; // milliseconds: the whole log is read for a proof
const COLUMNS: Column<AuditEvent>[] = [
  { name: "seq", title: "Record", width: "5.5rem", number: true, wide: true, cell: row => row.seq },
  timeColumn("time", "When", row => row.time, { wide: true }),
  {
    name: "operation",
    title: "Operation",
    width: "11rem",
    cell: row => <code title={row.operation}>{row.operation}</code>,
  },
  { name: "path", title: "Path", cell: row => <span title={row.path}>{row.path}</span> },
  {
    name: "actor",
    title: "Who",
    width: "10rem",
    wide: true,
    cell: row => <span title={row.actor_name}>{row.actor_name}</span>,
  },
  {
    name: "result",
    title: "Result",
    width: "7rem",
    cell: row => <State of={row.phase === "intent" ? "pending" : row.result} label={told(row)} />,
  },
];

interface EventsProps {
  title: string;
  rows: readonly AuditEvent[];
  aside: string;
  /** Below them: what loads older ones. */
  more?: ComponentChildren;
}

/** Events as a list; the chosen one is shown whole, and proven on demand. */
export function Events({ title, rows, aside, more }: EventsProps) {
  const [chosen, setChosen] = useState<AuditEvent | null>(null);
  return (
    <>
      <Card title={title} flush aside={aside}>
        <Table
          label={title}
          columns={COLUMNS}
          rows={rows}
          keyOf={({ seq }) => `${seq}`}
          open={setChosen}
          empty={<Empty icon="audit" title="No record fits" />}
        />
        {more}
      </Card>
      {chosen && <One key={chosen.seq} of={chosen} />}
    </>
  );
}

function One({ of }: { of: AuditEvent }) {
  return (
    <Card title={`Record ${of.seq}`}>
      <div class="stack">
        <Facts
          rows={[
            ["When", <Moment key="t" at={of.time} />],
            ["Operation", <code key="o">{of.operation}</code>],
            ["Path", of.path],
            ["Phase", of.phase],
            ["Result", of.code ? `${of.result}: ${of.code}` : of.result],
            ["Decided by", of.rule || "–"],
            ["Who", `${of.actor_name} (${of.actor_id})`],
            ["By", `${of.method}${of.credential ? ` ${of.credential}` : ""}`],
            ["From", `${of.ip || "–"}, ${of.dialect}`],
            ["With", of.user_agent || "–"],
            ["Request", <code key="r">{of.request_id}</code>],
          ]}
        />
        <Prove seq={of.seq} />
      </div>
    </Card>
  );
}

/** The record as it is in the log, its path to the root, and the signed checkpoint of that root. */
function Prove({ seq }: { seq: number }) {
  const [proof, setProof] = useState<Proof | null>(null);
  const { run, busy, error } = useAct(async () => {
    setProof(await get<Proof>(`audit/proofs/${seq}`, { timeout: PATIENCE }));
  });
  return (
    <>
      <div class="line">
        <Button busy={busy} onClick={run}>
          Prove that it is in the log
        </Button>
      </div>
      {error && <Notice tone="bad">{error.message}</Notice>}
      {proof && (
        <>
          <Notice tone="good">
            {`It is record ${proof.seq}, ${proof.path.length} hashes from the signed root.`}
          </Notice>
          <Code label="Record" text={proof.record.trimEnd()} />
          <Code label="Signed checkpoint" text={proof.checkpoint.trimEnd()} />
          <Code label="Proof, for freehold audit check" text={JSON.stringify(proof, null, 2)} />
        </>
      )}
    </>
  );
}

function told({ phase, result, code }: AuditEvent): string {
  if (phase === "intent") return "Begun";
  return result === "ok" ? "Done" : result === "denied" ? "Refused" : code || "Failed";
}
