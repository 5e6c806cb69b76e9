import { useState } from "preact/hooks";
import { listed } from "../../agent/pairs";
import type { User } from "../../agent/wire";
import { asApiError, get, post } from "../../lib/api";
import { plural } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { navigate } from "../../lib/router";
import { State, Tags } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Dialog } from "../../parts/dialog";
import { Field, Search } from "../../parts/field";
import { Page } from "../../parts/page";
import { Await, Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { TimeAgo } from "../../parts/time";
import { toast } from "../../parts/toasts";
import "./vault.css";

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
  {
    name: "made",
    title: "Made",
    width: "7rem",
    number: true,
    wide: true,
    cell: row => <TimeAgo at={row.created_at} />,
    by: row => row.created_at,
  },
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
  const [more, setMore] = useState<User[]>([]);
  const [cursor, setCursor] = useState(first.cursor);
  const users = [...first.users, ...more];
  const load = async () => {
    try {
      const next = await get<UserPage>("users", { query: { limit: PAGE, cursor } });
      setMore([...more, ...next.users]);
      setCursor(next.cursor);
    } catch (error) {
      toast(asApiError(error).message, "bad");
    }
  };
  return (
    <Card title="Users" flush aside={plural(users.length, "user") + (cursor ? " so far" : "")}>
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
        empty={<Empty icon="people" title="No user fits" />}
      />
      {cursor && (
        <p>
          <Button onClick={load}>Load more</Button>
        </p>
      )}
    </Card>
  );
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
