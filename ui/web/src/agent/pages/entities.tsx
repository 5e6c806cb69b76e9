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
import type { Entity, EntityLine } from "../api-types";
import { parseList } from "../key-values";
import "./pages.css";

const PAGE_SIZE = 200;

interface EntityPage {
  entities: EntityLine[];
  cursor: string;
}

const COLUMNS: Column<EntityLine>[] = [
  {
    name: "name",
    title: "Entity",
    cell: ({ id, name }) => <a href={`/entities/${id}`}>{name}</a>,
    sortBy: row => row.name,
  },
  {
    name: "status",
    title: "Status",
    width: "7.5rem",
    cell: row => <StatusBadge status={entityStatus(row)} />,
    sortBy: entityStatus,
  },
  {
    name: "aliases",
    title: "Logs in as",
    width: "16rem",
    wideOnly: true,
    cell: row => <TagList tags={row.aliases.map(aliasText)} />,
  },
  {
    name: "policies",
    title: "Policies",
    width: "14rem",
    wideOnly: true,
    cell: row => <TagList tags={row.policies} />,
  },
];

export function entityStatus({ disabled }: EntityLine): string {
  return disabled ? "disabled" : "active";
}

/** How an alias is shown: the name at its mount. */
export function aliasText({ name, mount_path }: { name: string; mount_path: string }): string {
  return `${name} at ${mount_path}`;
}

/** The entities of this agent: people and machines, whichever way they log in. */
export default function Entities() {
  const [dialog, setDialog] = useState(false);
  const result = useGet<EntityPage>("entities", { limit: PAGE_SIZE });
  return (
    <Page
      title="Entities"
      actions={
        <Button kind="primary" icon="people" onClick={() => setDialog(true)}>
          Create entity…
        </Button>
      }
    >
      <Await query={result}>{page => <EntityTable key={page.cursor} first={page} />}</Await>
      {dialog && <CreateEntity onClose={() => setDialog(false)} />}
    </Page>
  );
}

function EntityTable({ first }: { first: EntityPage }) {
  const [text, setText] = useState("");
  const result = usePagination(listPage(first), async cursor =>
    listPage(await get<EntityPage>("entities", { query: { limit: PAGE_SIZE, cursor } })),
  );
  const wanted = text.trim().toLowerCase();
  const rows = result.rows.filter(({ name, aliases }) =>
    [name, ...aliases.map(alias => alias.name)].some(one => one.toLowerCase().includes(wanted)),
  );
  return (
    <Card
      title="All entities"
      flush
      aside={pluralize(result.rows.length, "entity", "entities") + result.suffix}
    >
      <div class="toolbar">
        <SearchInput label="Find entities" value={text} onChange={setText} />
      </div>
      <Table
        label="Entities"
        columns={COLUMNS}
        rows={rows}
        keyOf={({ id }) => id}
        order={{ column: "name", descending: false }}
        onOpen={({ id }) => navigate(`/entities/${id}`)}
        empty={
          <EmptyState icon="people" title={text ? "No matching entities" : "No entities yet"} />
        }
      />
      {result.loadMore}
    </Card>
  );
}

function listPage({ entities, cursor }: EntityPage): ListPage<EntityLine, string> {
  return { rows: entities, next: cursor };
}

function CreateEntity({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [policies, setPolicies] = useState("");
  const submit = async () => {
    const created = await post<Entity>("entities", { name, policies: parseList(policies) });
    navigate(`/entities/${created.id}`);
  };
  return (
    <Dialog title="Create entity" submitLabel="Create" onSubmit={submit} onClose={onClose}>
      <TextField label="Name" required autocomplete="off" value={name} onChange={setName} />
      <TextField
        label="Policies"
        hint="Separate names with commas."
        value={policies}
        onChange={setPolicies}
      />
    </Dialog>
  );
}
