import { useState } from "preact/hooks";
import { Button } from "../../components/button";
import { Card } from "../../components/card";
import { Dialog } from "../../components/dialog";
import { SearchInput, TextField } from "../../components/field";
import { Page } from "../../components/page";
import { Await, EmptyState } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { pluralize } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { navigate } from "../../lib/router";

interface PolicyNames {
  policies: string[];
  local: string[];
  control_plane: string[];
}

interface Row {
  name: string;
  source: string;
  note: string;
}

const BUILT_IN: Record<string, string> = {
  root: "Built in; allows everything",
  default: "Built in; lets every token manage itself",
};
const COLUMNS: Column<Row>[] = [
  {
    name: "name",
    title: "Policy",
    cell: ({ name }) =>
      name === "root" ? name : <a href={`/policies/${encodeURIComponent(name)}`}>{name}</a>,
    sortBy: row => row.name,
  },
  { name: "source", title: "Source", cell: row => row.source, sortBy: row => row.source },
  {
    name: "note",
    title: "Description",
    wideOnly: true,
    cell: row => <span class="muted">{row.note}</span>,
  },
];

/** All policies of this agent. */
export default function Policies() {
  const [dialog, setDialog] = useState(false);
  const [text, setText] = useState("");
  const result = useGet<PolicyNames>("policies");
  return (
    <Page
      title="Policies"
      actions={
        <Button kind="primary" icon="policy" onClick={() => setDialog(true)}>
          Create policy…
        </Button>
      }
    >
      <Await query={result}>
        {({ policies, local, control_plane }) => (
          <Card title="All policies" flush aside={pluralize(policies.length, "policy", "policies")}>
            <div class="toolbar">
              <SearchInput label="Find policies" value={text} onChange={setText} />
            </div>
            <Table
              label="Policies"
              columns={COLUMNS}
              rows={policies
                .filter(name => name.includes(text.trim().toLowerCase()))
                .map(name => ({
                  name,
                  source: [
                    local.includes(name) && "This agent",
                    control_plane.includes(name) && "Control plane",
                  ]
                    .filter(Boolean)
                    .join(", "),
                  note: BUILT_IN[name] ?? "",
                }))}
              keyOf={({ name }) => name}
              onOpen={({ name }) => name !== "root" && navigate(`/policies/${name}`)}
              empty={<EmptyState icon="policy" title="No matching policies" />}
            />
          </Card>
        )}
      </Await>
      {dialog && <NewPolicyDialog onClose={() => setDialog(false)} />}
    </Page>
  );
}

function NewPolicyDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const submit = async () => navigate(`/policies/${encodeURIComponent(name.trim())}?new=1`);
  return (
    <Dialog title="Create policy" submitLabel="Continue" onSubmit={submit} onClose={onClose}>
      <TextField
        label="Name"
        required
        autocomplete="off"
        maxLength={128}
        pattern="[A-Za-z0-9][A-Za-z0-9._\-]*"
        hint="Allowed: letters, digits and . _ -"
        value={name}
        onChange={setName}
      />
    </Dialog>
  );
}
