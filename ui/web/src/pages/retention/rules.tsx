import { useState } from "preact/hooks";
import { put } from "../../lib/api";
import { count } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { may, ofOrganization } from "../../lib/session";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Dialog } from "../../parts/dialog";
import { Field } from "../../parts/field";
import { Await } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { Moment } from "../../parts/time";
import { kept, type Purged, type Rule, told } from "./wire";

/** The rules, and what they would delete now. */
export function Rules() {
  const found = useGet<Rule[]>(ofOrganization("retention"));
  const [tried, setTried] = useState(0);
  const [edited, setEdited] = useState<Rule | null>(null);
  const columns: Column<Rule>[] = [
    ...COLUMNS,
    {
      name: "actions",
      title: "Actions",
      bare: true,
      width: "7.5rem",
      number: true,
      cell: rule => may("owner") && <Button onClick={() => setEdited(rule)}>Change…</Button>,
    },
  ];
  return (
    <>
      <Card
        title="Rules"
        aside={<Button onClick={() => setTried(tried + 1)}>What would go now?</Button>}
        flush
      >
        <Await of={found}>
          {rules => (
            <Table label="Rules" columns={columns} rows={rules} keyOf={({ kind }) => kind} />
          )}
        </Await>
      </Card>
      {tried > 0 && <DryRun key={tried} />}
      {edited && <Edit rule={edited} close={() => setEdited(null)} done={found.reload} />}
    </>
  );
}

const COLUMNS: Column<Rule>[] = [
  { name: "kind", title: "What", cell: ({ kind }) => told(kind) },
  { name: "days", title: "Kept", cell: ({ days }) => kept(days) },
  {
    name: "by",
    title: "By",
    wide: true,
    cell: ({ set }) => (set ? "this organization's rule" : "the control plane's settings"),
  },
  {
    name: "bounds",
    title: "A rule may say",
    wide: true,
    cell: ({ least, most }) => `${least} to ${most} days`,
  },
];

function DryRun() {
  const found = useGet<Purged[]>(ofOrganization("retention/dry-run"));
  return (
    <Card title="What would go now" flush>
      <Await of={found}>
        {rows => (
          <Table label="What would go" columns={GOING} rows={rows} keyOf={({ kind }) => kind} />
        )}
      </Await>
    </Card>
  );
}

const GOING: Column<Purged>[] = [
  { name: "kind", title: "What", cell: ({ kind }) => told(kind) },
  { name: "before", title: "Older than", wide: true, cell: ({ before }) => <Moment at={before} /> },
  { name: "rows", title: "Would go", number: true, cell: ({ rows }) => count(rows) },
  { name: "held", title: "Held", number: true, cell: ({ held }) => count(held) },
];

function Edit({ rule, close, done }: { rule: Rule; close: () => void; done: () => void }) {
  const [days, setDays] = useState(String(rule.set ? rule.days : 0));
  const act = async () => {
    await put(ofOrganization("retention"), { kind: rule.kind, days: Number(days) });
    done();
  };
  return (
    <Dialog title={`How long: ${told(rule.kind)}`} action="Set" danger act={act} close={close}>
      <p>
        What is older is deleted once a day, for good, and the trail says how much it was. Legal
        holds stay it.
      </p>
      <Field
        label="Days"
        hint={`${rule.least} to ${rule.most}; 0: no rule, then ${kept(rule.default)}.`}
        inputmode="numeric"
        pattern="[0-9]{1,5}"
        value={days}
        change={setDays}
        required
      />
    </Dialog>
  );
}
