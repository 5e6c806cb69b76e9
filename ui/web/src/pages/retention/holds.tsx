import { useState } from "preact/hooks";
import { post } from "../../lib/api";
import { useGet } from "../../lib/hooks";
import { may, ofOrganization } from "../../lib/session";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Dialog } from "../../parts/dialog";
import { Area, Field } from "../../parts/field";
import { Await, Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { timeColumn } from "../../parts/timecolumn";
import type { Hold } from "./wire";

/** Legal holds: placed by an admin, lifted by an owner. */
export function Holds() {
  const found = useGet<Hold[]>(ofOrganization("holds"));
  const [placing, setPlacing] = useState(false);
  const [lifted, setLifted] = useState<Hold | null>(null);
  const columns: Column<Hold>[] = [
    ...COLUMNS,
    {
      name: "actions",
      title: "Actions",
      bare: true,
      width: "6rem",
      number: true,
      cell: hold =>
        may("owner") && !hold.lifted_at && <Button onClick={() => setLifted(hold)}>Lift…</Button>,
    },
  ];
  return (
    <Card
      title="Legal holds"
      aside={<Button onClick={() => setPlacing(true)}>Place a hold…</Button>}
      flush
    >
      <Await of={found}>
        {holds => (
          <Table
            label="Legal holds"
            columns={columns}
            rows={holds}
            keyOf={({ id }) => id}
            height="20rem"
            empty={
              <Empty icon="lock" title="No legal hold">
                Rules delete what is past its time.
              </Empty>
            }
          />
        )}
      </Await>
      {placing && <Place close={() => setPlacing(false)} done={found.reload} />}
      {lifted && <Lift hold={lifted} close={() => setLifted(null)} done={found.reload} />}
    </Card>
  );
}

const COLUMNS: Column<Hold>[] = [
  {
    name: "state",
    title: "State",
    width: "7rem",
    cell: ({ lifted_at }) =>
      lifted_at ? <State of="retired" label="Lifted" /> : <State of="locked" label="In force" />,
  },
  { name: "reason", title: "Why", cell: whyOf },
  {
    name: "vault",
    title: "Of",
    wide: true,
    width: "9rem",
    cell: ({ vault }) => vault || "everything",
  },
  { name: "span", title: "Time", wide: true, width: "14rem", cell: spanOf },
  { name: "by", title: "By", wide: true, width: "9rem", cell: row => row.created_by },
  timeColumn("made", "Placed", row => row.created_at, { wide: true }),
];

/** Why it was placed; of one that is over also who lifted it, and why. */
function whyOf({ reason, lifted_at, lifted_by, lifted_why }: Hold) {
  const ended = lifted_at ? `Lifted by ${lifted_by}: ${lifted_why}` : "";
  return (
    <span title={`${reason}\n${ended}`.trim()}>
      {reason} {ended && <span class="muted">{ended}</span>}
    </span>
  );
}

function spanOf({ since, until }: Hold): string {
  if (!since && !until) return "all of it";
  return `${since?.slice(0, 10) ?? "beginning"} to ${until?.slice(0, 10) ?? "further on"}`;
}

interface Done {
  close: () => void;
  done: () => void;
}

function Place({ close, done }: Done) {
  const [reason, setReason] = useState("");
  const [vault, setVault] = useState("");
  const [since, setSince] = useState("");
  const [until, setUntil] = useState("");
  const act = async () => {
    const span = { since: seconds(since), until: seconds(until) };
    await post(ofOrganization("holds"), { reason, vault, ...span });
    done();
  };
  return (
    <Dialog title="Place a legal hold" action="Place it" act={act} close={close}>
      <p>Nothing that it covers is deleted from now on. Only an owner lifts it.</p>
      <Area label="Why" value={reason} change={setReason} rows={3} maxLength={1024} required />
      <Field
        label="Agent"
        hint="Empty: everything of this organization."
        value={vault}
        change={setVault}
      />
      <div class="columns tight">
        <Field
          label="From"
          placeholder="2026-01-01"
          hint="Empty: from the beginning."
          pattern={DATE}
          value={since}
          change={setSince}
        />
        <Field
          label="Until"
          placeholder="2026-12-31"
          hint="Empty: without an end."
          pattern={DATE}
          value={until}
          change={setUntil}
        />
      </div>
    </Dialog>
  );
}

function Lift({ hold, close, done }: Done & { hold: Hold }) {
  const [reason, setReason] = useState("");
  const act = async () => {
    await post(ofOrganization(`holds/${hold.id}/lift`), { reason });
    done();
  };
  return (
    <Dialog title="Lift the legal hold" action="Lift it" danger act={act} close={close}>
      <p>What it covered is deleted by rule again, from the next run on: {hold.reason}</p>
      <Area label="Why" value={reason} change={setReason} rows={3} maxLength={1024} required />
    </Dialog>
  );
}

const DATE = "\\d{4}-\\d{2}-\\d{2}";

function seconds(date: string): number {
  return date ? Date.parse(date) / 1000 : 0;
}
