import { useState } from "preact/hooks";
import { StatusBadge, TagList } from "../../components/badge";
import { Button } from "../../components/button";
import { Card } from "../../components/card";
import { Dialog } from "../../components/dialog";
import { SearchInput, TextField } from "../../components/field";
import { Page } from "../../components/page";
import { type ListPage, usePagination } from "../../components/pagination";
import { Await, EmptyState } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { get, post } from "../../lib/api";
import { pluralize } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { navigate } from "../../lib/router";
import type { User } from "../api-types";
import { parseList } from "../key-values";
import "./pages.css";
import { timeColumn } from "../../components/time-column";

const PAGE_SIZE = 200;

interface UserPage {
  users: User[];
  cursor: string;
}

const COLUMNS: Column<User>[] = [
  {
    name: "username",
    title: "User",
    cell: ({ id, username }) => <a href={`/users/${id}`}>{username}</a>,
    sortBy: row => row.username,
  },
  {
    name: "status",
    title: "Status",
    width: "7.5rem",
    cell: row => <StatusBadge status={row.status} />,
    sortBy: row => row.status,
  },
  {
    name: "roles",
    title: "Roles",
    width: "12rem",
    wideOnly: true,
    cell: row => <TagList tags={row.roles} />,
  },
  {
    name: "policies",
    title: "Policies",
    width: "14rem",
    wideOnly: true,
    cell: row => <TagList tags={row.policies} />,
  },
  timeColumn("made", "Created", row => row.created_at, { wideOnly: true, sortable: true }),
];

/** The users of this agent, people and machines. */
export default function Users() {
  const [dialog, setDialog] = useState(false);
  const result = useGet<UserPage>("users", { limit: PAGE_SIZE });
  return (
    <Page
      title="Users and keys"
      actions={
        <Button kind="primary" icon="people" onClick={() => setDialog(true)}>
          Create user…
        </Button>
      }
    >
      <Await query={result}>{page => <UserTable key={page.cursor} first={page} />}</Await>
      {dialog && <CreateUser onClose={() => setDialog(false)} />}
    </Page>
  );
}

function UserTable({ first }: { first: UserPage }) {
  const [text, setText] = useState("");
  const result = usePagination(listPage(first), async cursor =>
    listPage(await get<UserPage>("users", { query: { limit: PAGE_SIZE, cursor } })),
  );
  const users = result.rows;
  return (
    <Card title="All users" flush aside={pluralize(users.length, "user") + result.suffix}>
      <div class="toolbar">
        <SearchInput label="Find users" value={text} onChange={setText} />
      </div>
      <Table
        label="Users"
        columns={COLUMNS}
        rows={users.filter(({ username }) =>
          username.toLowerCase().includes(text.trim().toLowerCase()),
        )}
        keyOf={({ id }) => id}
        order={{ column: "username", descending: false }}
        onOpen={({ id }) => navigate(`/users/${id}`)}
        empty={<EmptyState icon="people" title={text ? "No matching users" : "No users yet"} />}
      />
      {result.loadMore}
    </Card>
  );
}

function listPage({ users, cursor }: UserPage): ListPage<User, string> {
  return { rows: users, next: cursor };
}

function CreateUser({ onClose }: { onClose: () => void }) {
  const [username, setUsername] = useState("");
  const [email, setEmail] = useState("");
  const [roles, setRoles] = useState("");
  const [policies, setPolicies] = useState("");
  const submit = async () => {
    const body = { username, email, roles: parseList(roles), policies: parseList(policies) };
    const created = await post<User>("users", body);
    navigate(`/users/${created.id}`);
  };
  return (
    <Dialog title="Create user" submitLabel="Create" onSubmit={submit} onClose={onClose}>
      <TextField label="Name" required autocomplete="off" value={username} onChange={setUsername} />
      <TextField label="Email" type="email" value={email} onChange={setEmail} />
      <TextField
        label="Roles"
        hint="Separate names with commas."
        value={roles}
        onChange={setRoles}
      />
      <TextField
        label="Policies"
        hint="Separate names with commas."
        value={policies}
        onChange={setPolicies}
      />
    </Dialog>
  );
}
