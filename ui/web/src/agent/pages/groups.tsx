import { useState } from "preact/hooks";
import { TagList } from "../../components/badge";
import { Button } from "../../components/button";
import { Card } from "../../components/card";
import { Dialog } from "../../components/dialog";
import { SearchInput, SelectField, TextField } from "../../components/field";
import { Page } from "../../components/page";
import { type ListPage, usePagination } from "../../components/pagination";
import { Await, EmptyState } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { timeColumn } from "../../components/time-column";
import { get, post } from "../../lib/api";
import { pluralize } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { navigate } from "../../lib/router";
import type { GroupLine } from "../api-types";
import { parseList } from "../key-values";
import "./pages.css";

const PAGE_SIZE = 200;

interface GroupPage {
  groups: GroupLine[];
  cursor: string;
}

const COLUMNS: Column<GroupLine>[] = [
  {
    name: "name",
    title: "Group",
    cell: ({ id, name }) => <a href={`/groups/${id}`}>{name}</a>,
    sortBy: row => row.name,
  },
  {
    name: "type",
    title: "Type",
    width: "7.5rem",
    cell: row => (row.type === "external" ? "External" : "Internal"),
    sortBy: row => row.type,
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

/** The groups of this agent. */
export default function Groups() {
  const [dialog, setDialog] = useState(false);
  const result = useGet<GroupPage>("groups", { limit: PAGE_SIZE });
  return (
    <Page
      title="Groups"
      actions={
        <Button kind="primary" icon="fleet" onClick={() => setDialog(true)}>
          Create group…
        </Button>
      }
    >
      <Await query={result}>{page => <GroupTable key={page.cursor} first={page} />}</Await>
      {dialog && <CreateGroup onClose={() => setDialog(false)} />}
    </Page>
  );
}

function GroupTable({ first }: { first: GroupPage }) {
  const [text, setText] = useState("");
  const result = usePagination(listPage(first), async cursor =>
    listPage(await get<GroupPage>("groups", { query: { limit: PAGE_SIZE, cursor } })),
  );
  const wanted = text.trim().toLowerCase();
  return (
    <Card title="All groups" flush aside={pluralize(result.rows.length, "group") + result.suffix}>
      <div class="toolbar">
        <SearchInput label="Find groups" value={text} onChange={setText} />
      </div>
      <Table
        label="Groups"
        columns={COLUMNS}
        rows={result.rows.filter(({ name }) => name.toLowerCase().includes(wanted))}
        keyOf={({ id }) => id}
        order={{ column: "name", descending: false }}
        onOpen={({ id }) => navigate(`/groups/${id}`)}
        empty={<EmptyState icon="fleet" title={text ? "No matching groups" : "No groups yet"} />}
      />
      {result.loadMore}
    </Card>
  );
}

function listPage({ groups, cursor }: GroupPage): ListPage<GroupLine, string> {
  return { rows: groups, next: cursor };
}

function CreateGroup({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [type, setType] = useState("internal");
  const [policies, setPolicies] = useState("");
  const submit = async () => {
    const body = { name, type, policies: parseList(policies) };
    const created = await post<GroupLine>("groups", body);
    navigate(`/groups/${created.id}`);
  };
  return (
    <Dialog title="Create group" submitLabel="Create" onSubmit={submit} onClose={onClose}>
      <TextField label="Name" required autocomplete="off" value={name} onChange={setName} />
      <SelectField
        label="Type"
        hint="Members of an external group come from its auth mount."
        value={type}
        onChange={setType}
        options={[
          ["internal", "Internal"],
          ["external", "External"],
        ]}
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
