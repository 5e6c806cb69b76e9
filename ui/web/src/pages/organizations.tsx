import { useState } from "preact/hooks";
import { get, post } from "../lib/api";
import { plural } from "../lib/format";
import { useGet } from "../lib/hooks";
import { CONTROL_LIMITS } from "../lib/limits";
import { State } from "../parts/badge";
import { Button } from "../parts/button";
import { Card } from "../parts/card";
import { Dialog } from "../parts/dialog";
import { Field } from "../parts/field";
import { type Part, useParts } from "../parts/more";
import { Page } from "../parts/page";
import { Await } from "../parts/states";
import { type Column, Table } from "../parts/table";
import { timeColumn } from "../parts/timecolumn";
import { toast } from "../parts/toasts";
import { type Organization, SLUG } from "./people/wire";

const PAGE = CONTROL_LIMITS.organizations;

/** All tenants, for super-admins. */
export default function Organizations() {
  const found = useGet<Organization[]>("organizations", { limit: PAGE });
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
      <Await of={found}>{first => <List key={first.at(-1)?.id} first={first} />}</Await>
      {makes && <Make close={() => setMakes(false)} made={found.reload} />}
    </Page>
  );
}

function List({ first }: { first: Organization[] }) {
  const { rows, soFar, more } = useParts(part(first), async after =>
    part(await get<Organization[]>("organizations", { query: { after, limit: PAGE } })),
  );
  return (
    <Card title="All" flush aside={plural(rows.length, "organization") + soFar}>
      <Table label="Organizations" columns={COLUMNS} rows={rows} keyOf={({ id }) => id} />
      {more}
    </Card>
  );
}

/** A full page may have others behind it. */
function part(rows: Organization[]): Part<Organization, string> {
  return { rows, next: rows.length < PAGE ? "" : (rows.at(-1)?.id ?? "") };
}

const COLUMNS: Column<Organization>[] = [
  {
    name: "id",
    title: "Organization",
    cell: ({ id }) => <a href={`/people?org=${id}`}>{id}</a>,
    by: row => row.id,
  },
  {
    name: "title",
    title: "Title",
    cell: ({ title }) => <span title={title}>{title || "–"}</span>,
    by: row => row.title,
  },
  {
    name: "factor",
    title: "Second factor",
    width: "9rem",
    wide: true,
    cell: row =>
      row.second_factor ? <State of="ok" label="Demanded" /> : <span class="muted">Optional</span>,
    by: row => Number(row.second_factor),
  },
  timeColumn("made", "Since", row => row.created_at, { wide: true, sorts: true }),
];

function Make({ close, made }: { close: () => void; made: () => void }) {
  const [id, setId] = useState("");
  const [title, setTitle] = useState("");
  const act = async () => {
    await post("organizations", { id, title });
    toast(`${id} is there`);
    made();
  };
  return (
    <Dialog title="A new organization" action="Make it" act={act} close={close}>
      <Field
        label="Id"
        hint="a–z, 0–9 and -. It stays as it is."
        pattern={SLUG}
        maxLength={64}
        autocomplete="off"
        required
        value={id}
        change={setId}
      />
      <Field label="Title" value={title} change={setTitle} maxLength={1024} />
      <p class="muted">Then invite its first owner, under People.</p>
    </Dialog>
  );
}
