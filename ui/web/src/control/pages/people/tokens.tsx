import { useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { CodeBlock } from "../../../components/code-block";
import { SelectField, TextField } from "../../../components/field";
import { Form } from "../../../components/form";
import { Await, EmptyState, Notice } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { showError, showToast } from "../../../components/toasts";
import { post, remove } from "../../../lib/api";
import { useGet } from "../../../lib/hooks";
import { currentUser, organization, organizationPath } from "../../../lib/session";
import { type ApiToken, ROLE_OPTIONS } from "./api-types";

const DAY = 86_400; // seconds
const LIFETIMES = [
  ["7", "7 days"],
  ["30", "30 days"],
  ["90", "90 days"],
  ["366", "1 year"],
] as const;

/** API tokens of the signed-in user. Admins see those of everybody. */
export function ApiTokensTab() {
  const result = useGet<ApiToken[]>(organizationPath("tokens"));
  return (
    <div class="stack">
      {currentUser.value?.organization === organization.value && (
        <CreateToken onCreated={result.reload} />
      )}
      <Card title="API tokens" flush>
        <Await query={result}>
          {rows => (
            <Table
              label="API tokens"
              columns={[...COLUMNS, actionsColumn(result.reload)]}
              rows={rows.filter(({ kind }) => kind === "api")}
              keyOf={({ id }) => id}
              empty={<EmptyState icon="key" title="No API tokens yet" />}
            />
          )}
        </Await>
      </Card>
    </div>
  );
}

function CreateToken({ onCreated }: { onCreated: () => void }) {
  const [label, setLabel] = useState("");
  const [role, setRole] = useState("viewer");
  const [days, setDays] = useState("30");
  const [secret, setSecret] = useState("");
  const submit = async () => {
    const body = { label, role, ttl: Number(days) * DAY };
    setSecret((await post<{ secret: string }>("tokens", body)).secret);
    setLabel("");
    onCreated();
  };
  if (secret) {
    return (
      <Card title="API token created">
        <div class="stack">
          <Notice tone="warn">Shown only once. Store it where your program reads it.</Notice>
          <CodeBlock label="Token" text={secret} />
          <div class="line">
            <Button onClick={() => setSecret("")}>Done</Button>
          </div>
        </div>
      </Card>
    );
  }
  return (
    <Card title="New API token">
      <Form submitLabel="Create token" icon="key" onSubmit={submit}>
        <TextField label="Purpose" value={label} onChange={setLabel} maxLength={256} required />
        <SelectField
          label="Role"
          hint="At most your own role."
          value={role}
          onChange={setRole}
          options={ROLE_OPTIONS}
        />
        <SelectField label="Expires after" value={days} onChange={setDays} options={LIFETIMES} />
      </Form>
    </Card>
  );
}

const COLUMNS: Column<ApiToken>[] = [
  {
    name: "label",
    title: "Purpose",
    cell: ({ label }) => <span title={label}>{label || "–"}</span>,
    sortBy: row => row.label,
  },
  { name: "user", title: "Account", width: "9rem", cell: row => row.user, sortBy: row => row.user },
  { name: "role", title: "Role", width: "6.5rem", wideOnly: true, cell: row => row.role },
  timeColumn("made", "Created", row => row.created_at, { wideOnly: true, sortable: true }),
  timeColumn("ends", "Expires", row => row.expires_at, { wideOnly: true, sortable: true }),
];

function actionsColumn(reload: () => void): Column<ApiToken> {
  const end = ({ id, label }: ApiToken) =>
    remove(organizationPath(`tokens/${id}`)).then(() => {
      showToast(`API token ${label || id} revoked`);
      reload();
    }, showError);
  return {
    name: "actions",
    title: "Actions",
    hideTitle: true,
    width: "6rem",
    numeric: true,
    cell: row => <Button onClick={() => end(row)}>Revoke</Button>,
  };
}
