import { Card } from "../../../components/card";
import { EmptyState } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { humanize, pluralize } from "../../../lib/format";
import type { Rotation } from "../../api-types";
import { RotationBadge } from "./state-badge";

const COLUMNS: Column<Rotation>[] = [
  { name: "number", title: "No.", width: "4rem", numeric: true, cell: row => row.number },
  {
    name: "state",
    title: "State",
    width: "7.5rem",
    cell: row => <RotationBadge state={row.state} />,
  },
  {
    name: "version",
    title: "Version",
    width: "6rem",
    numeric: true,
    wideOnly: true,
    cell: row => row.version || "–",
  },
  {
    name: "by",
    title: "Requested by",
    width: "11rem",
    wideOnly: true,
    cell: row => (row.cause === "schedule" ? humanize(row.cause) : row.requested_by),
  },
  timeColumn("began", "Began", row => row.began_at),
  timeColumn("ended", "Ended", row => row.ended_at, { wideOnly: true }),
  {
    name: "error",
    title: "Error",
    wideOnly: true,
    cell: row => <span title={row.error}>{row.error || "–"}</span>,
  },
];

/** The rotations of one secret that are kept, the latest first. */
export function RotationHistory({ rotations }: { rotations: readonly Rotation[] }) {
  return (
    <Card title="History" flush aside={pluralize(rotations.length, "rotation")}>
      <Table
        label="History"
        columns={COLUMNS}
        rows={rotations}
        keyOf={({ number }) => `${number}`}
        height="24rem"
        empty={<EmptyState icon="rotate" title="No rotations yet" />}
      />
    </Card>
  );
}
