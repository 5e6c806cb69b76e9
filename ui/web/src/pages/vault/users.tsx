import { useState } from "preact/hooks";
import { listed } from "../../agent/pairs";
import type { User } from "../../agent/wire";
import { get, post } from "../../lib/api";
import { plural } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { navigate } from "../../lib/router";
import { State, Tags } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Dialog } from "../../parts/dialog";
import { Field, Search } from "../../parts/field";
import { type Part, useParts } from "../../parts/more";
import { Page } from "../../parts/page";
import { Await, Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import "./vault.css";
import { timeColumn } from "../../parts/timecolumn";

const PAGE = 200;

interface UserPage {
  users: User[];
  cursor: string;
}

const COLUMNS: Column<User>[] = [
  {
    name: "username",
    title: "User",
    cell: ({ id, username }) => <a href={`/users/${id}`}>{username}</a>,
    by: row => row.username,
  },
  {
    name: "status",
    title: "Status",
    width: "7.5rem",
    cell: row => <State of={row.status} />,
    by: row => row.status,
  },
  {
    name: "roles",
    title: "Roles",
    width: "12rem",
    wide: true,
    cell: row => <Tags of={row.roles} />,
  },
  {
    name: "policies",
    title: "Policies",
    width: "14rem",
    wide: true,
    cell: row => <Tags of={row.policies} />,
  },
  timeColumn("made", "Made", row => row.created_at, { wide: true, sorts: true }),
];

/** People and machines. Their keys are on their own pages. */
export default function Users() {
  const [asks, setAsks] = useState(false);
  const found = useGet<UserPage>("users", { limit: PAGE });
  return (
    <Page
      title="Users and keys"
      actions={
        <Button kind="primary" icon="people" onClick={() => setAsks(true)}>
          New user…
        </Button>
      }
    >
      <Await of={found}>{page => <List key={page.cursor} first={page} />}</Await>
      {asks && <Create close={() => setAsks(false)} />}
    </Page>
  );
}

function List({ first }: { first: UserPage }) {
  const [text, setText] = useState("");
  const found = useParts(part(first), async cursor =>
    part(await get<UserPage>("users", { query: { limit: PAGE, cursor } })),
  );
  const users = found.rows;
  return (
    <Card title="Users" flush aside={plural(users.length, "user") + found.soFar}>
      <div class="toolbar">
        <Search label="Find users" value={text} change={setText} />
      </div>
      <Table
        label="Users"
        columns={COLUMNS}
        rows={users.filter(({ username }) => username.toLowerCase().includes(text.trim()))}
        keyOf={({ id }) => id}
        order={{ column: "username", descending: false }}
        open={({ id }) => navigate(`/users/${id}`)}
        empty={<Empty icon="people" title={text ? "No user fits" : "No users yet"} />}
      />
      {found.more}
    </Card>
  );
}

function part({ users, cursor }: UserPage): Part<User, string> {
  return { rows: users, next: cursor };
}

function Create({ close }: { close: () => void }) {
  const [username, setUsername] = useState("");
  const [email, setEmail] = useState("");
  const [roles, setRoles] = useState("");
  const [policies, setPolicies] = useState("");
  const act = async () => {
    const body = { username, email, roles: listed(roles), policies: listed(policies) };
    const made = await post<User>("users", body);
    navigate(`/users/${made.id}`);
  };
  return (
    <Dialog title="New user" action="Make" act={act} close={close}>
      <Field label="Name" required autocomplete="off" value={username} change={setUsername} />
      <Field label="E-mail" type="email" value={email} change={setEmail} />
      <Field label="Roles" hint="Several with commas" value={roles} change={setRoles} />
      <Field label="Policies" hint="Several with commas" value={policies} change={setPolicies} />
    </Dialog>
  );
}
