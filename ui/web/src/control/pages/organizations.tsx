import { useState } from "preact/hooks";
import { StatusBadge } from "../../components/badge";
import { Button } from "../../components/button";
import { Card } from "../../components/card";
import { Dialog } from "../../components/dialog";
import { TextField } from "../../components/field";
import { Page } from "../../components/page";
import { type ListPage, usePagination } from "../../components/pagination";
import { Await } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { timeColumn } from "../../components/time-column";
import { showToast } from "../../components/toasts";
import { get, post } from "../../lib/api";
import { pluralize } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { CONTROL_LIMITS } from "../../lib/limits";
import { type Organization, SLUG_PATTERN } from "./people/api-types";

const PAGE_SIZE = CONTROL_LIMITS.organizations;

/** All organizations, for super-admins. */
export default function Organizations() {
  const result = useGet<Organization[]>("organizations", { limit: PAGE_SIZE });
  const [creating, setCreating] = useState(false);
  return (
    <Page
      title="Organizations"
      actions={
        <Button kind="primary" onClick={() => setCreating(true)}>
          Create organization…
        </Button>
      }
    >
      <Await query={result}>
        {first => <OrganizationTable key={first.at(-1)?.id} first={first} />}
      </Await>
      {creating && (
        <CreateOrganization onClose={() => setCreating(false)} onCreated={result.reload} />
      )}
    </Page>
  );
}

function OrganizationTable({ first }: { first: Organization[] }) {
  const { rows, suffix, loadMore } = usePagination(listPage(first), async after =>
    listPage(await get<Organization[]>("organizations", { query: { after, limit: PAGE_SIZE } })),
  );
  return (
    <Card title="All organizations" flush aside={pluralize(rows.length, "organization") + suffix}>
      <Table label="Organizations" columns={COLUMNS} rows={rows} keyOf={({ id }) => id} />
      {loadMore}
    </Card>
  );
}

/** A full page may be followed by more. */
function listPage(rows: Organization[]): ListPage<Organization, string> {
  return { rows, next: rows.length < PAGE_SIZE ? "" : (rows.at(-1)?.id ?? "") };
}

const COLUMNS: Column<Organization>[] = [
  {
    name: "id",
    title: "Organization",
    cell: ({ id }) => <a href={`/people?org=${id}`}>{id}</a>,
    sortBy: row => row.id,
  },
  {
    name: "title",
    title: "Title",
    cell: ({ title }) => <span title={title}>{title || "–"}</span>,
    sortBy: row => row.title,
  },
  {
    name: "factor",
    title: "Second factor",
    width: "9rem",
    wideOnly: true,
    cell: row =>
      row.second_factor ? (
        <StatusBadge status="ok" label="Required" />
      ) : (
        <span class="muted">Optional</span>
      ),
    sortBy: row => Number(row.second_factor),
  },
  timeColumn("made", "Created", row => row.created_at, { wideOnly: true, sortable: true }),
];

function CreateOrganization({
  onClose,
  onCreated,
}: {
  onClose: () => void;
  onCreated: () => void;
}) {
  const [id, setId] = useState("");
  const [title, setTitle] = useState("");
  const submit = async () => {
    await post("organizations", { id, title });
    showToast(`Organization ${id} created`);
    onCreated();
  };
  return (
    <Dialog title="Create organization" submitLabel="Create" onSubmit={submit} onClose={onClose}>
      <TextField
        label="ID"
        hint="Allowed: a–z, 0–9 and -. Cannot be changed later."
        pattern={SLUG_PATTERN}
        maxLength={64}
        autocomplete="off"
        required
        value={id}
        onChange={setId}
      />
      <TextField label="Title" value={title} onChange={setTitle} maxLength={1024} />
      <p class="muted">Next, invite the first owner on the People page.</p>
    </Dialog>
  );
}
