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

/** Legal holds: placed by an admin, lifted by an owner. */
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
      aside={<Button onClick={() => setPlacing(true)}>Place a hold…</Button>}
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
              <EmptyState icon="lock" title="No legal hold">
                Rules delete what is past its time.
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
        <StatusBadge status="locked" label="In force" />
      ),
  },
  { name: "reason", title: "Why", cell: holdReason },
  {
    name: "vault",
    title: "Of",
    wideOnly: true,
    width: "9rem",
    cell: ({ vault }) => vault || "everything",
  },
  { name: "span", title: "Time", wideOnly: true, width: "14rem", cell: holdPeriod },
  { name: "by", title: "By", wideOnly: true, width: "9rem", cell: row => row.created_by },
  timeColumn("made", "Placed", row => row.created_at, { wideOnly: true }),
];

/** Why it was placed; of one that is over also who lifted it, and why. */
function holdReason({ reason, lifted_at, lifted_by, lifted_why }: LegalHold) {
  const ended = lifted_at ? `Lifted by ${lifted_by}: ${lifted_why}` : "";
  return (
    <span title={`${reason}\n${ended}`.trim()}>
      {reason} {ended && <span class="muted">{ended}</span>}
    </span>
  );
}

function holdPeriod({ since, until }: LegalHold): string {
  if (!since && !until) return "all of it";
  return `${since?.slice(0, 10) ?? "beginning"} to ${until?.slice(0, 10) ?? "further on"}`;
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
  const act = async () => {
    const span = { since: seconds(since), until: seconds(until) };
    await post(organizationPath("holds"), { reason, vault, ...span });
    onDone();
  };
  return (
    <Dialog title="Place a legal hold" submitLabel="Place it" onSubmit={act} onClose={onClose}>
      <p>Nothing that it covers is deleted from now on. Only an owner lifts it.</p>
      <TextArea
        label="Why"
        value={reason}
        onChange={setReason}
        rows={3}
        maxLength={1024}
        required
      />
      <TextField
        label="Agent"
        hint="Empty: everything of this organization."
        value={vault}
        onChange={setVault}
      />
      <div class="columns tight">
        <TextField
          label="From"
          placeholder="2026-01-01"
          hint="Empty: from the beginning."
          pattern={DATE_PATTERN}
          value={since}
          onChange={setSince}
        />
        <TextField
          label="Until"
          placeholder="2026-12-31"
          hint="Empty: without an end."
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
  const act = async () => {
    await post(organizationPath(`holds/${hold.id}/lift`), { reason });
    onDone();
  };
  return (
    <Dialog
      title="Lift the legal hold"
      submitLabel="Lift it"
      danger
      onSubmit={act}
      onClose={onClose}
    >
      <p>What it covered is deleted by rule again, from the next run on: {hold.reason}</p>
      <TextArea
        label="Why"
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
