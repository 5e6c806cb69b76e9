import { useState } from "preact/hooks";
import { plural } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { navigate } from "../../lib/router";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Dialog } from "../../parts/dialog";
import { Field, Search } from "../../parts/field";
import { Page } from "../../parts/page";
import { Await, Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";

interface Names {
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
  root: "allows everything; built in",
  default: "what every token may do to itself",
};
const COLUMNS: Column<Row>[] = [
  {
    name: "name",
    title: "Policy",
    cell: ({ name }) =>
      name === "root" ? name : <a href={`/policies/${encodeURIComponent(name)}`}>{name}</a>,
    by: row => row.name,
  },
  { name: "source", title: "Source", cell: row => row.source, by: row => row.source },
  { name: "note", title: "Note", wide: true, cell: row => <span class="muted">{row.note}</span> },
];

/** Every policy of this agent. */
export default function Policies() {
  const [asks, setAsks] = useState(false);
  const [text, setText] = useState("");
  const found = useGet<Names>("policies");
  return (
    <Page
      title="Policies"
      actions={
        <Button kind="primary" icon="policy" onClick={() => setAsks(true)}>
          New policy…
        </Button>
      }
    >
      <Await of={found}>
        {({ policies, local, control_plane }) => (
          <Card title="All" flush aside={plural(policies.length, "policy", "policies")}>
            <div class="toolbar">
              <Search label="Find policies" value={text} change={setText} />
            </div>
            <Table
              label="Policies"
              columns={COLUMNS}
              rows={policies
                .filter(name => name.includes(text.trim().toLowerCase()))
                .map(name => ({
                  name,
                  source: [
                    local.includes(name) && "this agent",
                    control_plane.includes(name) && "control plane",
                  ]
                    .filter(Boolean)
                    .join(", "),
                  note: BUILT_IN[name] ?? "",
                }))}
              keyOf={({ name }) => name}
              open={({ name }) => name !== "root" && navigate(`/policies/${name}`)}
              empty={<Empty icon="policy" title="No policy fits" />}
            />
          </Card>
        )}
      </Await>
      {asks && <Ask close={() => setAsks(false)} />}
    </Page>
  );
}

function Ask({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const act = async () => navigate(`/policies/${encodeURIComponent(name.trim())}?new=1`);
  return (
    <Dialog title="New policy" action="Write it" act={act} close={close}>
      <Field
        label="Name"
        required
        autocomplete="off"
        maxLength={128}
        pattern="[A-Za-z0-9][A-Za-z0-9._\-]*"
        hint="Letters, digits and . _ -"
        value={name}
        change={setName}
      />
    </Dialog>
  );
}
