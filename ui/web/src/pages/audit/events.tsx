import { whoOf } from "../../lib/format";
import { query, setQuery } from "../../lib/router";
import { within } from "../../lib/session";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card, Facts } from "../../parts/card";
import { Code } from "../../parts/code";
import { Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { Moment } from "../../parts/time";
import { type AuditEvent, told } from "./wire";

interface EventsProps {
  rows: readonly AuditEvent[];
  aside: string;
}

/** Records as a list; the one in the address (`?record=`) is shown whole. */
export function Events({ rows, aside }: EventsProps) {
  const chosen = rows.find(({ seq }) => `${seq}` === query.value.get("record"));
  return (
    <>
      {chosen && <One key={chosen.seq} of={chosen} />}
      <Card title="Found" flush aside={aside}>
        <Table
          label="Audit records"
          columns={COLUMNS}
          rows={rows}
          keyOf={({ seq }) => `${seq}`}
          open={({ seq }) => setQuery({ record: `${seq}` })}
          empty={<Empty icon="audit" title="No record fits" />}
        />
      </Card>
    </>
  );
}

const COLUMNS: Column<AuditEvent>[] = [
  { name: "seq", title: "Record", width: "5rem", number: true, wide: true, cell: row => row.seq },
  {
    name: "at",
    title: "When",
    width: "12rem",
    wide: true,
    cell: row => <Moment at={row.at} />,
  },
  {
    name: "operation",
    title: "Operation",
    cell: row => <code title={row.operation}>{row.operation}</code>,
  },
  {
    name: "target",
    title: "Target",
    wide: true,
    cell: row => <span title={row.target}>{row.target || "–"}</span>,
  },
  {
    name: "actor",
    title: "Who",
    cell: row => <span title={row.actor}>{whoOf(row)}</span>,
  },
  { name: "ip", title: "From", width: "9rem", wide: true, cell: row => row.ip || "–" },
  {
    name: "result",
    title: "Result",
    width: "7rem",
    cell: row => <State of={row.phase === "intent" ? "pending" : row.result} label={told(row)} />,
  },
];

function One({ of }: { of: AuditEvent }) {
  const narrow = (name: string, value: string) =>
    value ? <a href={within(`/audit?${new URLSearchParams({ [name]: value })}`)}>{value}</a> : "–";
  return (
    <Card
      title={`Record ${of.seq}`}
      aside={<Button onClick={() => setQuery({ record: "" })}>Close</Button>}
    >
      <div class="stack">
        <Facts
          rows={[
            ["When", <Moment key="at" at={of.at} />],
            ["Operation", narrow("operation", of.operation)],
            ["Target", narrow("target", of.target)],
            ["Who", of.actor ? narrow("actor", of.actor) : whoOf(of)],
            ["Credential", of.token || "–"],
            ["From", narrow("ip", of.ip)],
            ["Phase", of.phase],
            ["Result", of.code ? `${of.result}: ${of.code}` : of.result],
            ["Request", narrow("request_id", of.request_id)],
            ["Hash", <code key="hash">{of.hash}</code>],
            ["Hash before", <code key="previous">{of.previous}</code>],
          ]}
        />
        {Object.keys(of.detail).length > 0 && (
          <Code label="Detail" text={JSON.stringify(of.detail, null, 2)} />
        )}
      </div>
    </Card>
  );
}
