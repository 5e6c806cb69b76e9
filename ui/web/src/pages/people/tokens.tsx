import { useState } from "preact/hooks";
import { post, remove } from "../../lib/api";
import { useGet } from "../../lib/hooks";
import { me, ofOrganization, organization } from "../../lib/session";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Code } from "../../parts/code";
import { Choice, Field } from "../../parts/field";
import { Form } from "../../parts/form";
import { Await, Empty, Notice } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { timeColumn } from "../../parts/timecolumn";
import { toast, toastError } from "../../parts/toasts";
import { ROLES, type Token } from "./wire";

const DAY = 86_400; // seconds
const LIVES = [
  ["7", "A week"],
  ["30", "30 days"],
  ["90", "90 days"],
  ["366", "A year"],
] as const;

/** Credentials of programs: one's own, and for an admin everybody's. */
export function Tokens() {
  const found = useGet<Token[]>(ofOrganization("tokens"));
  return (
    <div class="stack">
      {me.value?.organization === organization.value && <Mint made={found.reload} />}
      <Card title="API tokens" flush>
        <Await of={found}>
          {rows => (
            <Table
              label="API tokens"
              columns={[...COLUMNS, ends(found.reload)]}
              rows={rows.filter(({ kind }) => kind === "api")}
              keyOf={({ id }) => id}
              empty={<Empty icon="key" title="There are none" />}
            />
          )}
        </Await>
      </Card>
    </div>
  );
}

function Mint({ made }: { made: () => void }) {
  const [label, setLabel] = useState("");
  const [role, setRole] = useState("viewer");
  const [days, setDays] = useState("30");
  const [secret, setSecret] = useState("");
  const act = async () => {
    const body = { label, role, ttl: Number(days) * DAY };
    setSecret((await post<{ secret: string }>("tokens", body)).secret);
    setLabel("");
    made();
  };
  if (secret) {
    return (
      <Card title="A new API token">
        <div class="stack">
          <Notice tone="warn">Shown this once: keep it where the program reads it.</Notice>
          <Code label="Token" text={secret} />
          <div class="line">
            <Button onClick={() => setSecret("")}>Done</Button>
          </div>
        </div>
      </Card>
    );
  }
  return (
    <Card title="A token for a program of yours">
      <Form action="Make a token" icon="key" act={act}>
        <Field label="What for" value={label} change={setLabel} maxLength={256} required />
        <Choice
          label="Role"
          hint="Never more than yours."
          value={role}
          change={setRole}
          options={ROLES}
        />
        <Choice label="Good for" value={days} change={setDays} options={LIVES} />
      </Form>
    </Card>
  );
}

const COLUMNS: Column<Token>[] = [
  {
    name: "label",
    title: "What for",
    cell: ({ label }) => <span title={label}>{label || "–"}</span>,
    by: row => row.label,
  },
  { name: "user", title: "Of", width: "9rem", cell: row => row.user, by: row => row.user },
  { name: "role", title: "Role", width: "6.5rem", wide: true, cell: row => row.role },
  timeColumn("made", "Made", row => row.created_at, { wide: true, sorts: true }),
  timeColumn("ends", "Ends", row => row.expires_at, { wide: true, sorts: true }),
];

function ends(reload: () => void): Column<Token> {
  const end = ({ id, label }: Token) =>
    remove(ofOrganization(`tokens/${id}`)).then(() => {
      toast(`${label || "The token"} is worth nothing now`);
      reload();
    }, toastError);
  return {
    name: "actions",
    title: "Actions",
    bare: true,
    width: "6rem",
    number: true,
    cell: row => <Button onClick={() => end(row)}>End</Button>,
  };
}
