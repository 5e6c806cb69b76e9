import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { CodeBlock } from "../../../components/code-block";
import { SelectField, TextField } from "../../../components/field";
import { Form } from "../../../components/form";
import { Await, EmptyState, Notice } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { RelativeTime } from "../../../components/time";
import { timeColumn } from "../../../components/time-column";
import { showError, showToast } from "../../../components/toasts";
import { post, remove } from "../../../lib/api";
import { now } from "../../../lib/clock";
import { toMillis } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { organizationPath } from "../../../lib/session";
import { type Invitation, type NewInvitation, ROLE_OPTIONS } from "./api-types";

/** Creates and lists invitations. */
export function InvitationsTab() {
  const result = useGet<Invitation[]>(organizationPath("invitations"));
  return (
    <div class="stack">
      <InviteForm onCreated={result.reload} />
      <Card title="Invitations" flush>
        <Await query={result}>
          {rows => (
            <Table
              label="Invitations"
              columns={[...COLUMNS, actionsColumn(result.reload)]}
              rows={rows}
              keyOf={({ id }) => id}
              empty={<EmptyState icon="people" title="No invitations yet" />}
            />
          )}
        </Await>
      </Card>
    </div>
  );
}

function InviteForm({ onCreated }: { onCreated: () => void }) {
  const [email, setEmail] = useState("");
  const [role, setRole] = useState("viewer");
  const [invited, setInvited] = useState<NewInvitation | null>(null);
  const submit = async () => {
    setInvited(
      await post<NewInvitation>(organizationPath("invitations"), { email: email.trim(), role }),
    );
    setEmail("");
    onCreated();
  };
  if (invited) return <NewInvitationCard created={invited} onDone={() => setInvited(null)} />;
  return (
    <Card title="New invitation">
      <Form submitLabel="Invite" icon="people" onSubmit={submit}>
        <TextField
          label="Email"
          type="email"
          autocomplete="off"
          required
          value={email}
          onChange={setEmail}
        />
        <SelectField label="Role" value={role} onChange={setRole} options={ROLE_OPTIONS} />
      </Form>
    </Card>
  );
}

function NewInvitationCard({
  created: { invitation, link, mailed },
  onDone,
}: {
  created: NewInvitation;
  onDone: () => void;
}) {
  return (
    <Card title={`Invitation for ${invitation.email}`}>
      <div class="stack">
        <Notice tone="warn">
          {mailed ? "The invitation is also sent by email. " : ""}The link is shown only once.
          Anyone with the link can use it once; it expires{" "}
          <RelativeTime at={invitation.expires_at} />.
        </Notice>
        <CodeBlock label="Link" text={link} />
        <div class="line">
          <Button onClick={onDone}>Done</Button>
        </div>
      </div>
    </Card>
  );
}

const INVITATION_STATES = {
  open: ["pending", "Open"],
  used: ["ok", "Used"],
  over: ["retired", "Expired"],
} as const;

const COLUMNS: Column<Invitation>[] = [
  {
    name: "email",
    title: "Email",
    cell: ({ email }) => <span title={email}>{email}</span>,
    sortBy: row => row.email,
  },
  {
    name: "role",
    title: "Role",
    width: "6.5rem",
    wideOnly: true,
    cell: row => row.role,
    sortBy: row => row.role,
  },
  {
    name: "state",
    title: "State",
    width: "7rem",
    cell: row => {
      const [of, label] = INVITATION_STATES[invitationState(row)];
      return <StatusBadge status={of} label={label} />;
    },
  },
  { name: "by", title: "Invited by", wideOnly: true, cell: row => row.created_by },
  { name: "used", title: "Account", wideOnly: true, cell: row => row.used_by || "–" },
  timeColumn("ends", "Used or expires", row => row.used_at ?? row.expires_at, { wideOnly: true }),
];

function actionsColumn(reload: () => void): Column<Invitation> {
  const revoke = ({ email, id }: Invitation) =>
    remove(organizationPath(`invitations/${id}`)).then(() => {
      showToast(`Invitation for ${email} revoked`);
      reload();
    }, showError);
  return {
    name: "actions",
    title: "Actions",
    hideTitle: true,
    width: "7.5rem",
    numeric: true,
    cell: row =>
      invitationState(row) === "open" && <Button onClick={() => revoke(row)}>Revoke</Button>,
  };
}

function invitationState(row: Invitation): keyof typeof INVITATION_STATES {
  if (row.used_at) return "used";
  return (toMillis(row.expires_at) ?? 0) < now.value ? "over" : "open";
}
