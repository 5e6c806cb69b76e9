import { useState } from "preact/hooks";
import { get } from "../../lib/api";
import { plural } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { CONTROL_LIMITS } from "../../lib/limits";
import { query, setQuery } from "../../lib/router";
import { may, ofOrganization } from "../../lib/session";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Search } from "../../parts/field";
import { type Part, useParts } from "../../parts/more";
import { Await, Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { timeColumn } from "../../parts/timecolumn";
import { One } from "./member";
import { NewUser } from "./new-user";
import type { Guest, Person, User } from "./wire";

const PAGE = CONTROL_LIMITS.users;

/** Everybody who belongs here; a press on one opens what can be done. */
export function Members() {
  const users = useGet<User[]>(ofOrganization("users"), { limit: PAGE });
  const guests = useGet<Guest[]>(ofOrganization("members"));
  const reload = () => {
    users.reload();
    guests.reload();
  };
  return (
    <Await of={users}>
      {first => <All first={first} guests={guests.data ?? []} changed={reload} />}
    </Await>
  );
}

interface AllProps {
  first: User[];
  guests: Guest[];
  changed: () => void;
}

function All({ first, guests, changed }: AllProps) {
  const [makes, setMakes] = useState(false);
  const { rows, soFar, more } = useParts(part(first), async after =>
    part(await get<User[]>(ofOrganization("users"), { query: { after, limit: PAGE } })),
  );
  const people = [...rows.map(own), ...guests.map(guest)];
  return (
    <div class="stack">
      <List people={people} soFar={soFar} makes={() => setMakes(true)} />
      {more}
      <Chosen people={people} changed={changed} />
      {makes && <NewUser close={() => setMakes(false)} made={changed} />}
    </div>
  );
}

/** A full page may have others behind it. */
function part(rows: User[]): Part<User, string> {
  return { rows, next: rows.length < PAGE ? "" : (rows.at(-1)?.name ?? "") };
}

function own(account: User): Person {
  const { created_at, name, role } = account;
  return { home: "", name, role, created_at, account };
}

function guest({ created_at, home, name, role }: Guest): Person {
  return { home, name, role, created_at, account: null };
}

interface ListProps {
  people: Person[];
  soFar: string;
  makes: () => void;
}

function List({ people, soFar, makes }: ListProps) {
  const wanted = query.value.get("q") ?? "";
  const rows = people.filter(row => keyOf(row).includes(wanted.toLowerCase()));
  return (
    <Card
      title="Members"
      flush
      aside={
        <span class="line">
          {(wanted
            ? `${rows.length} of ${people.length}`
            : plural(people.length, "person", "people")) + soFar}
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
        empty={<Empty icon="people" title={wanted ? "Nobody of this name" : "Nobody yet"} />}
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
