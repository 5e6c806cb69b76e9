import { useEffect, useState } from "preact/hooks";
import { get } from "../../lib/api";
import { plural } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { query, setQuery } from "../../lib/router";
import { may, ofOrganization } from "../../lib/session";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Search } from "../../parts/field";
import { Await, Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { timeColumn } from "../../parts/timecolumn";
import { toastError } from "../../parts/toasts";
import { One } from "./member";
import { NewUser } from "./new-user";
import type { Guest, Person, User } from "./wire";

const PAGE = 500; // people that one request brings

/** Everybody who belongs here; a press on one opens what can be done. */
export function Members() {
  const users = useGet<User[]>(ofOrganization("users"), { limit: PAGE });
  const guests = useGet<Guest[]>(ofOrganization("members"));
  const [more, setMore] = useState<User[]>([]);
  const [makes, setMakes] = useState(false);
  useEffect(() => setMore([]), [users.data]);
  const reload = () => {
    users.reload();
    guests.reload();
  };
  return (
    <Await of={users}>
      {first => {
        const all = [...first, ...more];
        const next = async () => {
          const after = all.at(-1)?.name ?? "";
          const page = await get<User[]>(ofOrganization("users"), {
            query: { after, limit: PAGE },
          });
          setMore([...more, ...page]);
        };
        const isMore = (more.length || first.length) % PAGE === 0 && first.length > 0;
        const people = [...all.map(own), ...(guests.data ?? []).map(guest)];
        return (
          <div class="stack">
            <List people={people} makes={() => setMakes(true)} />
            {isMore && <Button onClick={() => next().catch(toastError)}>Load more</Button>}
            <Chosen people={people} changed={reload} />
            {makes && <NewUser close={() => setMakes(false)} made={reload} />}
          </div>
        );
      }}
    </Await>
  );
}

function own(account: User): Person {
  const { created_at, name, role } = account;
  return { home: "", name, role, created_at, account };
}

function guest({ created_at, home, name, role }: Guest): Person {
  return { home, name, role, created_at, account: null };
}

function List({ people, makes }: { people: Person[]; makes: () => void }) {
  const wanted = query.value.get("q") ?? "";
  const rows = people.filter(row => keyOf(row).includes(wanted.toLowerCase()));
  return (
    <Card
      title="Members"
      flush
      aside={
        <span class="line">
          {wanted
            ? `${rows.length} of ${people.length}`
            : plural(people.length, "person", "people")}
          {may("admin") && (
            <Button icon="people" onClick={makes}>
              New account…
            </Button>
          )}
        </span>
      }
    >
      <div class="toolbar">
        <Search label="Find people" value={wanted} change={q => setQuery({ q })} />
      </div>
      <Table
        label="Members"
        columns={COLUMNS}
        rows={rows}
        keyOf={keyOf}
        {...(may("admin") ? { open: (row: Person) => setQuery({ who: keyOf(row) }) } : {})}
        empty={<Empty icon="people" title="Nobody of this name" />}
      />
    </Card>
  );
}

function Chosen({ people, changed }: { people: Person[]; changed: () => void }) {
  const who = query.value.get("who");
  const found = people.find(row => keyOf(row) === who);
  if (!found || !may("admin")) return null;
  return (
    <One
      key={who}
      of={found}
      changed={changed}
      gone={() => {
        setQuery({ who: "" });
        changed();
      }}
    />
  );
}

function keyOf({ home, name }: Person): string {
  return home ? `${home}/${name}` : name;
}

const COLUMNS: Column<Person>[] = [
  {
    name: "name",
    title: "Name",
    cell: row => <span title={keyOf(row)}>{keyOf(row)}</span>,
    by: keyOf,
  },
  { name: "role", title: "Role", width: "6.5rem", cell: row => row.role, by: row => row.role },
  {
    name: "state",
    title: "State",
    width: "7rem",
    cell: ({ account }) =>
      account?.disabled ? (
        <State of="disabled" />
      ) : (
        <State of="active" label={account ? "Active" : "Guest"} />
      ),
    by: ({ account }) => (account?.disabled ? 1 : 0),
  },
  {
    name: "factor",
    title: "Second factor",
    width: "9rem",
    wide: true,
    cell: ({ account }) =>
      account ? (
        <State
          of={account.second_factor ? "ok" : "late"}
          label={account.second_factor ? "Set up" : "None"}
        />
      ) : (
        <span class="muted">–</span>
      ),
    by: ({ account }) => (account ? Number(account.second_factor) : null),
  },
  {
    name: "email",
    title: "Email",
    wide: true,
    cell: ({ account }) => <span title={account?.email}>{account?.email || "–"}</span>,
    by: ({ account }) => account?.email ?? null,
  },
  timeColumn("login", "Signed in", ({ account }) => account?.last_login, {
    wide: true,
    sorts: true,
  }),
];
