import { useEffect, useState } from "preact/hooks";
import { below, folderOf, foldersOf, pageOf } from "../../agent/paths";
import type { Secret, SecretPage } from "../../agent/wire";
import { get } from "../../lib/api";
import { count, plural } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { navigate, query, setQuery } from "../../lib/router";
import { State, Tags } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Search, Select } from "../../parts/field";
import { type Part, useParts } from "../../parts/more";
import { Page } from "../../parts/page";
import { Await, Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { toast } from "../../parts/toasts";
import { Create } from "./secret/write";
import "./vault.css";
import { timeColumn } from "../../parts/timecolumn";

const PAGE = 200; // secrets at a time
const FOLDERS = 12; // shown; the rest is reached by the search
const STATUSES = [
  ["", "Any status"],
  ["active", "Active"],
  ["deleted", "Deleted"],
  ["destroyed", "Destroyed"],
  ["empty", "Without a version"],
] as const;

const columnsOf = (prefix: string): Column<Secret>[] => [
  {
    name: "name",
    title: "Secret",
    cell: ({ name }) => (
      <a href={pageOf(name)} title={name}>
        {name.slice(prefix.length)}
      </a>
    ),
    by: row => row.name,
  },
  {
    name: "status",
    title: "Status",
    width: "7.5rem",
    cell: row => <State of={row.status} />,
    by: row => row.status,
  },
  {
    name: "version",
    title: "Version",
    width: "5.5rem",
    number: true,
    wide: true,
    cell: row => row.version || "–",
    by: row => row.version,
  },
  { name: "tags", title: "Tags", width: "14rem", wide: true, cell: row => <Tags of={row.tags} /> },
  {
    name: "by",
    title: "Written by",
    width: "10rem",
    wide: true,
    cell: row => <span title={row.created_by}>{row.created_by}</span>,
    by: row => row.created_by,
  },
  timeColumn("updated", "Changed", row => row.updated_at, { sorts: true, wide: true }),
];

/** Every secret that one may see, by folder and filter; no value is asked for. */
export default function Secrets() {
  const [asks, setAsks] = useState(false);
  const prefix = query.value.get("prefix") ?? "";
  const filters = {
    prefix,
    tags: query.value.get("tags") ?? "",
    metadata: query.value.get("metadata") ?? "",
    status: query.value.get("status") ?? "",
  };
  const found = useGet<SecretPage>("secrets", { ...filters, limit: PAGE });
  return (
    <Page
      title="Secrets"
      actions={
        <Button kind="primary" icon="lock" onClick={() => setAsks(true)}>
          New secret…
        </Button>
      }
    >
      <div class="stack">
        <Way prefix={prefix} />
        <Await of={found}>
          {page => <List key={JSON.stringify([filters, page])} filters={filters} first={page} />}
        </Await>
      </div>
      {asks && (
        <Create
          folder={prefix || "secret/"}
          close={() => setAsks(false)}
          made={name => {
            toast(`${name} is stored`);
            navigate(pageOf(name));
          }}
        />
      )}
    </Page>
  );
}

/** Where one is, and the way back up. */
function Way({ prefix }: { prefix: string }) {
  return (
    <nav class="way" aria-label="Folder">
      <a href="/secrets">All</a>
      {foldersOf(prefix).map(folder => (
        <a key={folder} href={folderOf(folder)}>
          {folder.split("/").at(-2)}
        </a>
      ))}
    </nav>
  );
}

interface ListProps {
  filters: Record<"prefix" | "tags" | "metadata" | "status", string>;
  first: SecretPage;
}

function List({ filters, first }: ListProps) {
  const [typed, setTyped] = useState("");
  const found = useParts(part(first), async cursor =>
    part(await get<SecretPage>("secrets", { query: { ...filters, limit: PAGE, cursor } })),
  );
  const secrets = found.rows;
  const shown = secrets.filter(({ name }) => name.includes(typed.trim()));
  return (
    <Card title="Names" flush aside={plural(secrets.length, "secret") + found.soFar}>
      <div class="toolbar">
        <Search label="Find by name" value={typed} change={setTyped} />
        <Filter label="Tags, all of: a,b" name="tags" value={filters.tags} />
        <Filter label="Metadata, all of: env:prod" name="metadata" value={filters.metadata} />
        <Select
          aria-label="Status"
          value={filters.status}
          change={status => setQuery({ status })}
          options={STATUSES}
        />
      </div>
      <Folders prefix={filters.prefix} names={secrets.map(({ name }) => name)} />
      <Table
        label="Secrets"
        columns={columnsOf(filters.prefix)}
        rows={shown}
        keyOf={({ name }) => name}
        open={({ name }) => navigate(pageOf(name))}
        empty={<Empty icon="lock" title="No secret here that you may see" />}
      />
      {found.more}
    </Card>
  );
}

function part({ secrets, cursor }: SecretPage): Part<Secret, string> {
  return { rows: secrets, next: cursor };
}

function Folders({ prefix, names }: { prefix: string; names: string[] }) {
  const all = [...below(prefix, names)];
  const folders = all.slice(0, FOLDERS);
  if (!folders.length) return null;
  return (
    <nav class="folders" aria-label="Folders">
      {folders.map(([folder, secrets]) => (
        <a key={folder} href={folderOf(folder)}>
          {folder.slice(prefix.length)} <span class="muted">{secrets}</span>
        </a>
      ))}
      {all.length > FOLDERS && <span class="muted">and {count(all.length - FOLDERS)} more</span>}
    </nav>
  );
}

interface FilterProps {
  label: string;
  name: "tags" | "metadata";
  value: string;
}

/** Asked for when it is left or confirmed: each letter would be another request. */
function Filter({ label, name, value }: FilterProps) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  const settle = () => typed.trim() !== value && setQuery({ [name]: typed.trim() });
  return (
    <input
      class="input filter"
      aria-label={label}
      placeholder={label}
      autocomplete="off"
      spellcheck={false}
      value={typed}
      onInput={event => setTyped(event.currentTarget.value)}
      onBlur={settle}
      onKeyDown={event => event.key === "Enter" && settle()}
    />
  );
}
