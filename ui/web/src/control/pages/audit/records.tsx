import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card, DescriptionList } from "../../../components/card";
import { CodeBlock } from "../../../components/code-block";
import { EmptyState } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { Timestamp } from "../../../components/time";
import { actorName } from "../../../lib/format";
import { query, setQuery } from "../../../lib/router";
import { inOrganization } from "../../../lib/session";
import { type AuditRecord, resultLabel } from "./api-types";

interface AuditRecordsProps {
  rows: readonly AuditRecord[];
  aside: string;
}

/** A table of audit records. `?record=` selects the one that is shown in full. */
export function AuditRecords({ rows, aside }: AuditRecordsProps) {
  const selected = rows.find(({ seq }) => `${seq}` === query.value.get("record"));
  return (
    <>
      {selected && <RecordDetails key={selected.seq} record={selected} />}
      <Card title="Results" flush aside={aside}>
        <Table
          label="Audit records"
          columns={COLUMNS}
          rows={rows}
          keyOf={({ seq }) => `${seq}`}
          onOpen={({ seq }) => setQuery({ record: `${seq}` })}
          empty={<EmptyState icon="audit" title="No matching records" />}
        />
      </Card>
    </>
  );
}

const COLUMNS: Column<AuditRecord>[] = [
  {
    name: "seq",
    title: "Record",
    width: "5rem",
    numeric: true,
    wideOnly: true,
    cell: row => row.seq,
  },
  {
    name: "at",
    title: "Time",
    width: "12rem",
    wideOnly: true,
    cell: row => <Timestamp at={row.at} />,
  },
  {
    name: "operation",
    title: "Operation",
    cell: row => <code title={row.operation}>{row.operation}</code>,
  },
  {
    name: "target",
    title: "Target",
    wideOnly: true,
    cell: row => <span title={row.target}>{row.target || "–"}</span>,
  },
  {
    name: "actor",
    title: "Actor",
    cell: row => <span title={row.actor}>{actorName(row)}</span>,
  },
  { name: "ip", title: "IP address", width: "9rem", wideOnly: true, cell: row => row.ip || "–" },
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

function RecordDetails({ record }: { record: AuditRecord }) {
  const narrow = (name: string, value: string) =>
    value ? (
      <a href={inOrganization(`/audit?${new URLSearchParams({ [name]: value })}`)}>{value}</a>
    ) : (
      "–"
    );
  return (
    <Card
      title={`Record ${record.seq}`}
      aside={<Button onClick={() => setQuery({ record: "" })}>Close</Button>}
    >
      <div class="stack">
        <DescriptionList
          rows={[
            ["Time", <Timestamp key="at" at={record.at} />],
            ["Operation", narrow("operation", record.operation)],
            ["Target", narrow("target", record.target)],
            ["Actor", record.actor ? narrow("actor", record.actor) : actorName(record)],
            ["Credential", record.token || "–"],
            ["IP address", narrow("ip", record.ip)],
            ["Phase", record.phase],
            ["Result", record.code ? `${record.result}: ${record.code}` : record.result],
            ["Request ID", narrow("request_id", record.request_id)],
            ["Hash", <code key="hash">{record.hash}</code>],
            ["Previous hash", <code key="previous">{record.previous}</code>],
          ]}
        />
        {Object.keys(record.detail).length > 0 && (
          <CodeBlock label="Details" text={JSON.stringify(record.detail, null, 2)} />
        )}
      </div>
    </Card>
  );
}
