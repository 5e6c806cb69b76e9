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

/** All tenants, for super-admins. */
export default function Organizations() {
  const result = useGet<Organization[]>("organizations", { limit: PAGE_SIZE });
  const [makes, setMakes] = useState(false);
  return (
    <Page
      title="Organizations"
      actions={
        <Button kind="primary" onClick={() => setMakes(true)}>
          New organization…
        </Button>
      }
    >
      <Await query={result}>
        {first => <OrganizationTable key={first.at(-1)?.id} first={first} />}
      </Await>
      {makes && <CreateOrganization onClose={() => setMakes(false)} onCreated={result.reload} />}
    </Page>
  );
}

function OrganizationTable({ first }: { first: Organization[] }) {
  const { rows, suffix, loadMore } = usePagination(listPage(first), async after =>
    listPage(await get<Organization[]>("organizations", { query: { after, limit: PAGE_SIZE } })),
  );
  return (
    <Card title="All" flush aside={pluralize(rows.length, "organization") + suffix}>
      <Table label="Organizations" columns={COLUMNS} rows={rows} keyOf={({ id }) => id} />
      {loadMore}
    </Card>
  );
}

/** A full page may have others behind it. */
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
        <StatusBadge status="ok" label="Demanded" />
      ) : (
        <span class="muted">Optional</span>
      ),
    sortBy: row => Number(row.second_factor),
  },
  timeColumn("made", "Since", row => row.created_at, { wideOnly: true, sortable: true }),
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
  const act = async () => {
    await post("organizations", { id, title });
    showToast(`${id} is there`);
    onCreated();
  };
  return (
    <Dialog title="A new organization" submitLabel="Make it" onSubmit={act} onClose={onClose}>
      <TextField
        label="Id"
        hint="a–z, 0–9 and -. It stays as it is."
        pattern={SLUG_PATTERN}
        maxLength={64}
        autocomplete="off"
        required
        value={id}
        onChange={setId}
      />
      <TextField label="Title" value={title} onChange={setTitle} maxLength={1024} />
      <p class="muted">Then invite its first owner, under People.</p>
    </Dialog>
  );
}
