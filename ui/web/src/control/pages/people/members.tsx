import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { Dialog } from "../../../components/dialog";
import { SearchInput, SelectField, TextField } from "../../../components/field";
import { type ListPage, usePagination } from "../../../components/pagination";
import { Await, EmptyState } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { showToast } from "../../../components/toasts";
import { get, post } from "../../../lib/api";
import { pluralize } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { CONTROL_LIMITS } from "../../../lib/limits";
import { query, setQuery } from "../../../lib/router";
import { hasRole, organizationPath } from "../../../lib/session";
import { type GuestMember, type Person, ROLE_OPTIONS, SLUG_PATTERN, type User } from "./api-types";
import { MemberCard } from "./member-card";

const PAGE_SIZE = CONTROL_LIMITS.users;

/** All members, with the selected one below. */
export function MembersTab() {
  const users = useGet<User[]>(organizationPath("users"), { limit: PAGE_SIZE });
  const guests = useGet<GuestMember[]>(organizationPath("members"));
  const reload = () => {
    users.reload();
    guests.reload();
  };
  return (
    <Await query={users}>
      {first => <MemberList first={first} guests={guests.data ?? []} onChanged={reload} />}
    </Await>
  );
}

interface MemberListProps {
  first: User[];
  guests: GuestMember[];
  onChanged: () => void;
}

function MemberList({ first, guests, onChanged }: MemberListProps) {
  const [creating, setCreating] = useState(false);
  const { rows, suffix, loadMore } = usePagination(listPage(first), async after =>
    listPage(await get<User[]>(organizationPath("users"), { query: { after, limit: PAGE_SIZE } })),
  );
  const people = [...rows.map(personOfAccount), ...guests.map(personOfGuest)];
  return (
    <div class="stack">
      <MemberTable people={people} suffix={suffix} onCreate={() => setCreating(true)} />
      {loadMore}
      <SelectedMember people={people} onChanged={onChanged} />
      {creating && <CreateUser onClose={() => setCreating(false)} onCreated={onChanged} />}
    </div>
  );
}

/** A full page may be followed by more. */
function listPage(rows: User[]): ListPage<User, string> {
  return { rows, next: rows.length < PAGE_SIZE ? "" : (rows.at(-1)?.name ?? "") };
}

function personOfAccount(account: User): Person {
  const { created_at, name, role } = account;
  return { home: "", name, role, created_at, account };
}

function personOfGuest({ created_at, home, name, role }: GuestMember): Person {
  return { home, name, role, created_at, account: null };
}

interface MemberTableProps {
  people: Person[];
  suffix: string;
  onCreate: () => void;
}

function MemberTable({ people, suffix, onCreate }: MemberTableProps) {
  const wanted = query.value.get("q") ?? "";
  const rows = people.filter(row => personKey(row).includes(wanted.toLowerCase()));
  return (
    <Card
      title="Members"
      flush
      aside={
        <span class="line">
          {(wanted
            ? `${rows.length} of ${people.length}`
            : pluralize(people.length, "person", "people")) + suffix}
          {hasRole("admin") && (
            <Button icon="people" onClick={onCreate}>
              Create account…
            </Button>
          )}
        </span>
      }
    >
      <div class="toolbar">
        <SearchInput label="Find people" value={wanted} onChange={q => setQuery({ q })} />
      </div>
      <Table
        label="Members"
        columns={COLUMNS}
        rows={rows}
        keyOf={personKey}
        {...(hasRole("admin")
          ? { onOpen: (row: Person) => setQuery({ who: personKey(row) }) }
          : {})}
        empty={
          <EmptyState icon="people" title={wanted ? "No matching people" : "No members yet"} />
        }
      />
    </Card>
  );
}

function SelectedMember({ people, onChanged }: { people: Person[]; onChanged: () => void }) {
  const who = query.value.get("who");
  const result = people.find(row => personKey(row) === who);
  if (!result || !hasRole("admin")) return null;
  return (
    <MemberCard
      key={who}
      person={result}
      onChanged={onChanged}
      onRemoved={() => {
        setQuery({ who: "" });
        onChanged();
      }}
    />
  );
}

function personKey({ home, name }: Person): string {
  return home ? `${home}/${name}` : name;
}

const COLUMNS: Column<Person>[] = [
  {
    name: "name",
    title: "Name",
    cell: row => <span title={personKey(row)}>{personKey(row)}</span>,
    sortBy: personKey,
  },
  { name: "role", title: "Role", width: "6.5rem", cell: row => row.role, sortBy: row => row.role },
  {
    name: "state",
    title: "State",
    width: "7rem",
    cell: ({ account }) =>
      account?.disabled ? (
        <StatusBadge status="disabled" />
      ) : (
        <StatusBadge status="active" label={account ? "Active" : "Guest"} />
      ),
    sortBy: ({ account }) => (account?.disabled ? 1 : 0),
  },
  {
    name: "factor",
    title: "Second factor",
    width: "9rem",
    wideOnly: true,
    cell: ({ account }) =>
      account ? (
        <StatusBadge
          status={account.second_factor ? "ok" : "late"}
          label={account.second_factor ? "Set up" : "None"}
        />
      ) : (
        <span class="muted">–</span>
      ),
    sortBy: ({ account }) => (account ? Number(account.second_factor) : null),
  },
  {
    name: "email",
    title: "Email",
    wideOnly: true,
    cell: ({ account }) => <span title={account?.email}>{account?.email || "–"}</span>,
    sortBy: ({ account }) => account?.email ?? null,
  },
  timeColumn("login", "Last sign-in", ({ account }) => account?.last_login, {
    wideOnly: true,
    sortable: true,
  }),
];

/** Creates an account with a password. Invitations are better: nobody else knows the password. */
export function CreateUser({ onClose, onCreated }: { onClose: () => void; onCreated: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState("viewer");
  const [password, setPassword] = useState("");
  const submit = async () => {
    await post(organizationPath("users"), { name, role, password });
    showToast(`Account ${name} created`);
    onCreated();
  };
  return (
    <Dialog title="Create account" submitLabel="Create" onSubmit={submit} onClose={onClose}>
      <p class="muted">Prefer an invitation: then only the new member knows the password.</p>
      <TextField
        label="Name"
        value={name}
        onChange={setName}
        pattern={SLUG_PATTERN}
        maxLength={64}
        autocomplete="off"
        required
      />
      <SelectField label="Role" value={role} onChange={setRole} options={ROLE_OPTIONS} />
      <TextField
        label="Initial password"
        type="password"
        autocomplete="new-password"
        hint="At least 12 characters."
        value={password}
        onChange={setPassword}
        required
      />
    </Dialog>
  );
}
