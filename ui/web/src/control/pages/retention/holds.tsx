import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { Dialog } from "../../../components/dialog";
import { TextArea, TextField } from "../../../components/field";
import { Await, EmptyState } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { post } from "../../../lib/api";
import { useGet } from "../../../lib/hooks";
import { hasRole, organizationPath } from "../../../lib/session";
import type { LegalHold } from "./api-types";

/** Legal holds. Admins place them, owners lift them. */
export function LegalHolds() {
  const result = useGet<LegalHold[]>(organizationPath("holds"));
  const [placing, setPlacing] = useState(false);
  const [lifted, setLifted] = useState<LegalHold | null>(null);
  const columns: Column<LegalHold>[] = [
    ...COLUMNS,
    {
      name: "actions",
      title: "Actions",
      hideTitle: true,
      width: "6rem",
      numeric: true,
      cell: hold =>
        hasRole("owner") &&
        !hold.lifted_at && <Button onClick={() => setLifted(hold)}>Lift…</Button>,
    },
  ];
  return (
    <Card
      title="Legal holds"
      aside={<Button onClick={() => setPlacing(true)}>Place hold…</Button>}
      flush
    >
      <Await query={result}>
        {holds => (
          <Table
            label="Legal holds"
            columns={columns}
            rows={holds}
            keyOf={({ id }) => id}
            height="20rem"
            empty={
              <EmptyState icon="lock" title="No legal holds">
                Retention rules delete expired records.
              </EmptyState>
            }
          />
        )}
      </Await>
      {placing && <PlaceDialog onClose={() => setPlacing(false)} onDone={result.reload} />}
      {lifted && (
        <LiftDialog hold={lifted} onClose={() => setLifted(null)} onDone={result.reload} />
      )}
    </Card>
  );
}

const COLUMNS: Column<LegalHold>[] = [
  {
    name: "state",
    title: "State",
    width: "7rem",
    cell: ({ lifted_at }) =>
      lifted_at ? (
        <StatusBadge status="retired" label="Lifted" />
      ) : (
        <StatusBadge status="locked" label="Active" />
      ),
  },
  { name: "reason", title: "Reason", cell: holdReason },
  {
    name: "vault",
    title: "Agent",
    wideOnly: true,
    width: "9rem",
    cell: ({ vault }) => vault || "All",
  },
  { name: "span", title: "Period", wideOnly: true, width: "14rem", cell: holdPeriod },
  { name: "by", title: "Placed by", wideOnly: true, width: "9rem", cell: row => row.created_by },
  timeColumn("made", "Placed", row => row.created_at, { wideOnly: true }),
];

/** The reason, and for a lifted hold who lifted it and why. */
function holdReason({ reason, lifted_at, lifted_by, lifted_why }: LegalHold) {
  const ended = lifted_at ? `Lifted by ${lifted_by}: ${lifted_why}` : "";
  return (
    <span title={`${reason}\n${ended}`.trim()}>
      {reason} {ended && <span class="muted">{ended}</span>}
    </span>
  );
}

function holdPeriod({ since, until }: LegalHold): string {
  if (!since && !until) return "All time";
  return `${since?.slice(0, 10) ?? "start"} to ${until?.slice(0, 10) ?? "no end"}`;
}

interface HoldDialogProps {
  onClose: () => void;
  onDone: () => void;
}

function PlaceDialog({ onClose, onDone }: HoldDialogProps) {
  const [reason, setReason] = useState("");
  const [vault, setVault] = useState("");
  const [since, setSince] = useState("");
  const [until, setUntil] = useState("");
  const submit = async () => {
    const span = { since: seconds(since), until: seconds(until) };
    await post(organizationPath("holds"), { reason, vault, ...span });
    onDone();
  };
  return (
    <Dialog title="Place legal hold" submitLabel="Place hold" onSubmit={submit} onClose={onClose}>
      <p>Records under the hold are not deleted. Only an owner can lift it.</p>
      <TextArea
        label="Reason"
        value={reason}
        onChange={setReason}
        rows={3}
        maxLength={1024}
        required
      />
      <TextField
        label="Agent"
        hint="Leave empty for all agents of this organization."
        value={vault}
        onChange={setVault}
      />
      <div class="columns tight">
        <TextField
          label="From"
          placeholder="2026-01-01"
          hint="Leave empty for no start date."
          pattern={DATE_PATTERN}
          value={since}
          onChange={setSince}
        />
        <TextField
          label="Until"
          placeholder="2026-12-31"
          hint="Leave empty for no end date."
          pattern={DATE_PATTERN}
          value={until}
          onChange={setUntil}
        />
      </div>
    </Dialog>
  );
}

function LiftDialog({ hold, onClose, onDone }: HoldDialogProps & { hold: LegalHold }) {
  const [reason, setReason] = useState("");
  const submit = async () => {
    await post(organizationPath(`holds/${hold.id}/lift`), { reason });
    onDone();
  };
  return (
    <Dialog
      title="Lift legal hold"
      submitLabel="Lift hold"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        Retention rules apply again to its records from the next run on. Reason of the hold:{" "}
        {hold.reason}
      </p>
      <TextArea
        label="Reason"
        value={reason}
        onChange={setReason}
        rows={3}
        maxLength={1024}
        required
      />
    </Dialog>
  );
}

const DATE_PATTERN = "\\d{4}-\\d{2}-\\d{2}";

function seconds(date: string): number {
  return date ? Date.parse(date) / 1000 : 0;
}
