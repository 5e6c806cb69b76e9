import { useState } from "preact/hooks";
import { post, remove } from "../../lib/api";
import { now } from "../../lib/clock";
import { instant } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { ofOrganization } from "../../lib/session";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Code } from "../../parts/code";
import { Choice, Field } from "../../parts/field";
import { Form } from "../../parts/form";
import { Await, Empty, Notice } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { TimeAgo } from "../../parts/time";
import { timeColumn } from "../../parts/timecolumn";
import { toast, toastError } from "../../parts/toasts";
import { type Invitation, type Invited, ROLES } from "./wire";

/** Invite somebody, and what became of those who were. */
export function Invitations() {
  const found = useGet<Invitation[]>(ofOrganization("invitations"));
  return (
    <div class="stack">
      <Invite made={found.reload} />
      <Card title="Invitations" flush>
        <Await of={found}>
          {rows => (
            <Table
              label="Invitations"
              columns={[...COLUMNS, ends(found.reload)]}
              rows={rows}
              keyOf={({ id }) => id}
              empty={<Empty icon="people" title="Nobody was invited yet" />}
            />
          )}
        </Await>
      </Card>
    </div>
  );
}

function Invite({ made }: { made: () => void }) {
  const [email, setEmail] = useState("");
  const [role, setRole] = useState("viewer");
  const [invited, setInvited] = useState<Invited | null>(null);
  const act = async () => {
    setInvited(await post<Invited>(ofOrganization("invitations"), { email: email.trim(), role }));
    setEmail("");
    made();
  };
  if (invited) return <Handed of={invited} done={() => setInvited(null)} />;
  return (
    <Card title="Invite somebody">
      <Form action="Invite" icon="people" act={act}>
        <Field
          label="Email"
          type="email"
          autocomplete="off"
          required
          value={email}
          change={setEmail}
        />
        <Choice label="Role" value={role} change={setRole} options={ROLES} />
      </Form>
    </Card>
  );
}

function Handed({ of: { invitation, link, mailed }, done }: { of: Invited; done: () => void }) {
  return (
    <Card title={`Invitation for ${invitation.email}`}>
      <div class="stack">
        <Notice tone="warn">
          {mailed ? "It is on its way by mail, too. " : ""}The link is shown this once. Whoever has
          it can use it, one time; it ends <TimeAgo at={invitation.expires_at} />.
        </Notice>
        <Code label="Link" text={link} />
        <div class="line">
          <Button onClick={done}>Done</Button>
        </div>
      </div>
    </Card>
  );
}

const STATES = {
  open: ["pending", "Open"],
  used: ["ok", "Used"],
  over: ["retired", "Expired"],
} as const;

const COLUMNS: Column<Invitation>[] = [
  {
    name: "email",
    title: "Email",
    cell: ({ email }) => <span title={email}>{email}</span>,
    by: row => row.email,
  },
  {
    name: "role",
    title: "Role",
    width: "6.5rem",
    wide: true,
    cell: row => row.role,
    by: row => row.role,
  },
  {
    name: "state",
    title: "State",
    width: "7rem",
    cell: row => {
      const [of, label] = STATES[stateOf(row)];
      return <State of={of} label={label} />;
    },
  },
  { name: "by", title: "By", wide: true, cell: row => row.created_by },
  { name: "used", title: "Account", wide: true, cell: row => row.used_by || "–" },
  timeColumn("ends", "Ends", row => row.used_at ?? row.expires_at, { wide: true }),
];

function ends(reload: () => void): Column<Invitation> {
  const withdraw = ({ email, id }: Invitation) =>
    remove(ofOrganization(`invitations/${id}`)).then(() => {
      toast(`The link for ${email} is worth nothing now`);
      reload();
    }, toastError);
  return {
    name: "actions",
    title: "Actions",
    bare: true,
    width: "7.5rem",
    number: true,
    cell: row => stateOf(row) === "open" && <Button onClick={() => withdraw(row)}>Withdraw</Button>,
  };
}

function stateOf(row: Invitation): keyof typeof STATES {
  if (row.used_at) return "used";
  return (instant(row.expires_at) ?? 0) < now.value ? "over" : "open";
}
