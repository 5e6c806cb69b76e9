import { useEffect, useState } from "preact/hooks";
import { post } from "../../lib/api";
import { plural } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { may, ofOrganization } from "../../lib/session";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Dialog } from "../../parts/dialog";
import { Choice, Field } from "../../parts/field";
import { Await } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { timeColumn } from "../../parts/timecolumn";
import { toast } from "../../parts/toasts";
import { type Join, SLUG } from "./wire";

const EVERY = 3000; // milliseconds; no topic of the live feed tells of them

type Asked = { join: Join; step: "approve" | "refuse" };

/** Agents that ask by themselves, and wait for a person. */
export function Joins() {
  const found = useGet<Join[]>(ofOrganization("joins"));
  const [asked, setAsked] = useState<Asked | null>(null);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || found.reload(), EVERY);
    return () => clearInterval(timer);
  }, []);
  const columns: Column<Join>[] = [
    ...COLUMNS,
    {
      name: "actions",
      title: "Actions",
      bare: true,
      width: "12rem",
      number: true,
      cell: join =>
        may("operator") && (
          <span class="line end">
            <Button onClick={() => setAsked({ join, step: "refuse" })}>Refuse…</Button>
            <Button onClick={() => setAsked({ join, step: "approve" })}>Let in…</Button>
          </span>
        ),
    },
  ];
  const close = () => {
    setAsked(null);
    found.reload();
  };
  return (
    <Await of={found}>
      {joins => (
        <Card title="Asking to join" flush aside={plural(joins.length, "agent")}>
          {joins.length ? (
            <Table label="Asking to join" columns={columns} rows={joins} keyOf={row => row.id} />
          ) : (
            <p class="muted">
              Nobody. An agent asks with <code>freehold agent enrol --join</code>.
            </p>
          )}
          {asked?.step === "approve" && <Approve join={asked.join} close={close} />}
          {asked?.step === "refuse" && <Refuse join={asked.join} close={close} />}
        </Card>
      )}
    </Await>
  );
}

const COLUMNS: Column<Join>[] = [
  { name: "label", title: "Calls itself", cell: ({ label }) => <span title={label}>{label}</span> },
  {
    name: "fingerprint",
    title: "Fingerprint",
    width: "17rem",
    wide: true,
    cell: ({ fingerprint }) => <code>{fingerprint}</code>,
  },
  { name: "source", title: "From", width: "10rem", wide: true, cell: ({ source }) => source },
  timeColumn("requested", "Asked", row => row.requested_at, { wide: true }),
];

/** What the agent shows is typed, so that somebody has compared it. */
function Approve({ join, close }: { join: Join; close: () => void }) {
  const [vault, setVault] = useState(join.label);
  const [fingerprint, setFingerprint] = useState("");
  const [replace, setReplace] = useState("no");
  const act = async () => {
    const body = { vault, fingerprint: fingerprint.trim(), replace: replace === "yes" };
    await post(ofOrganization(`joins/${join.id}/approve`), body);
    toast(`${vault} is let in`);
  };
  return (
    <Dialog title={`Let ${join.label} in?`} action="Let in" act={act} close={close}>
      <p class="muted">
        Anybody can ask. Type the fingerprint that the agent's own machine shows, not the one in the
        list here.
      </p>
      <Field
        label="Fingerprint"
        value={fingerprint}
        change={setFingerprint}
        required
        pattern="[0-9a-f]{4}(-[0-9a-f]{4}){4}"
        placeholder="0000-0000-0000-0000-0000"
        autocomplete="off"
      />
      <Field label="Name" value={vault} change={setVault} required pattern={SLUG} maxLength={64} />
      <Choice
        label="If the name is taken"
        value={replace}
        change={setReplace}
        options={[
          ["no", "Refuse"],
          ["yes", "Take it over"],
        ]}
      />
    </Dialog>
  );
}

function Refuse({ join, close }: { join: Join; close: () => void }) {
  const act = async () => {
    await post(ofOrganization(`joins/${join.id}/refuse`));
    toast("It is turned away");
  };
  return (
    <Dialog title={`Turn ${join.label} away?`} action="Refuse" danger act={act} close={close}>
      <p class="muted">It may ask again.</p>
    </Dialog>
  );
}
