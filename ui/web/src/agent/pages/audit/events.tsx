import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card, DescriptionList } from "../../../components/card";
import { CodeBlock } from "../../../components/code-block";
import { EmptyState, Notice } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { Timestamp } from "../../../components/time";
import { timeColumn } from "../../../components/time-column";
import { get } from "../../../lib/api";
import { pluralize } from "../../../lib/format";
import { useAction } from "../../../lib/hooks";
import type { AuditEvent, InclusionProof } from "../../api-types";

const PROOF_TIMEOUT = 300_000; // milliseconds; a proof reads the whole log
const COLUMNS: Column<AuditEvent>[] = [
  {
    name: "seq",
    title: "Record",
    width: "5.5rem",
    numeric: true,
    wideOnly: true,
    cell: row => row.seq,
  },
  timeColumn("time", "Time", row => row.time, { wideOnly: true }),
  {
    name: "operation",
    title: "Operation",
    width: "11rem",
    cell: row => <code title={row.operation}>{row.operation}</code>,
  },
  { name: "path", title: "Path", cell: row => <span title={row.path}>{row.path}</span> },
  {
    name: "actor",
    title: "Actor",
    width: "10rem",
    wideOnly: true,
    cell: row => <span title={row.actor_name}>{row.actor_name}</span>,
  },
  {
    name: "result",
    title: "Result",
    width: "7rem",
    cell: row => (
      <StatusBadge
        status={row.phase === "intent" ? "pending" : row.result}
        label={resultLabel(row)}
      />
    ),
  },
];

interface AuditEventsProps {
  title: string;
  rows: readonly AuditEvent[];
  aside: string;
  /** Shown below the table. */
  more?: ComponentChildren;
}

/** A table of audit events. The selected event is shown in full. */
export function AuditEvents({ title, rows, aside, more }: AuditEventsProps) {
  const [selected, setSelected] = useState<AuditEvent | null>(null);
  return (
    <>
      <Card title={title} flush aside={aside}>
        <Table
          label={title}
          columns={COLUMNS}
          rows={rows}
          keyOf={({ seq }) => `${seq}`}
          onOpen={setSelected}
          empty={<EmptyState icon="audit" title="No matching records" />}
        />
        {more}
      </Card>
      {selected && <EventDetails key={selected.seq} event={selected} />}
    </>
  );
}

function EventDetails({ event }: { event: AuditEvent }) {
  return (
    <Card title={`Record ${event.seq}`}>
      <div class="stack">
        <DescriptionList
          rows={[
            ["Time", <Timestamp key="t" at={event.time} />],
            ["Operation", <code key="o">{event.operation}</code>],
            ["Path", event.path],
            ["Phase", event.phase],
            ["Result", event.code ? `${event.result}: ${event.code}` : event.result],
            ["Decided by", event.rule || "–"],
            ["Actor", `${event.actor_name} (${event.actor_id})`],
            [
              "Authenticated by",
              `${event.method}${event.credential ? ` ${event.credential}` : ""}`,
            ],
            ["IP address", `${event.ip || "–"}, ${event.dialect}`],
            ["Client", event.user_agent || "–"],
            ["Request ID", <code key="r">{event.request_id}</code>],
          ]}
        />
        <InclusionProofSection seq={event.seq} />
      </div>
    </Card>
  );
}

/** The record, its Merkle path to the root, and the signed checkpoint of that root. */
function InclusionProofSection({ seq }: { seq: number }) {
  const [proof, setProof] = useState<InclusionProof | null>(null);
  const { run, busy, error } = useAction(async () => {
    setProof(await get<InclusionProof>(`audit/proofs/${seq}`, { timeout: PROOF_TIMEOUT }));
  });
  return (
    <>
      <div class="line">
        <Button busy={busy} onClick={run}>
          Prove inclusion
        </Button>
      </div>
      {error && <Notice tone="bad">{error.message}</Notice>}
      {proof && (
        <>
          <Notice tone="good">
            {`Record ${proof.seq} is in the log, ${pluralize(proof.path.length, "hash", "hashes")} below the signed root.`}
          </Notice>
          <CodeBlock label="Record" text={proof.record.trimEnd()} />
          <CodeBlock label="Signed checkpoint" text={proof.checkpoint.trimEnd()} />
          <CodeBlock
            label="Proof, for freehold audit check"
            text={JSON.stringify(proof, null, 2)}
          />
        </>
      )}
    </>
  );
}

function resultLabel({ phase, result, code }: AuditEvent): string {
  if (phase === "intent") return "Intent";
  return result === "ok" ? "OK" : result === "denied" ? "Denied" : code || "Failed";
}
