import { useState } from "preact/hooks";
import { api } from "../../../agent/paths";
import type { Secret, Version } from "../../../agent/wire";
import { post } from "../../../lib/api";
import { plural } from "../../../lib/format";
import { State } from "../../../parts/badge";
import { Button } from "../../../parts/button";
import { Card } from "../../../parts/card";
import { Dialog } from "../../../parts/dialog";
import { type Column, Table } from "../../../parts/table";
import { timeColumn } from "../../../parts/timecolumn";
import { Compare } from "./compare";
import { Value } from "./value";
import { stateOf } from "./version";

interface VersionsProps {
  secret: Secret;
  /** Ascending. */
  versions: readonly Version[];
  done: (said: string) => void;
}

type Doing = "undelete" | "delete" | "destroy" | "rollback";

/** Who wrote what when, what became of it, and what can be done about it. */
export function Versions({ secret, versions, done }: VersionsProps) {
  const newest = [...versions].reverse();
  const [chosen, setChosen] = useState(newest[0]?.version ?? 0);
  const [asks, setAsks] = useState<Doing | null>(null);
  const row = versions.find(({ version }) => version === chosen);
  return (
    <div class="stack">
      <Card title="Versions" flush aside={plural(versions.length, "version")}>
        <Table
          label="Versions"
          columns={COLUMNS}
          rows={newest}
          keyOf={({ version }) => `${version}`}
          open={({ version }) => setChosen(version)}
          height="16rem"
        />
      </Card>
      {row && (
        <Card
          title={`Version ${row.version}`}
          aside={<Actions of={row} secret={secret} ask={setAsks} />}
        >
          <Compare name={secret.name} versions={newest} chosen={row} />
        </Card>
      )}
      {row && row.version !== secret.version && stateOf(row) === "active" && (
        <Value key={row.version} name={secret.name} version={row.version} />
      )}
      {row && asks && (
        <Ask what={asks} secret={secret} row={row} close={() => setAsks(null)} done={done} />
      )}
    </div>
  );
}

interface ActionsProps {
  of: Version;
  secret: Secret;
  ask: (what: Doing) => void;
}

function Actions({ of, secret, ask }: ActionsProps) {
  const state = stateOf(of);
  const isOld = of.version !== secret.version;
  if (state === "destroyed") return <span>its value is gone</span>;
  return (
    <span class="line">
      {state === "active" && isOld && (
        <Button onClick={() => ask("rollback")}>Write it again…</Button>
      )}
      {state === "active" && isOld && <Button onClick={() => ask("delete")}>Delete…</Button>}
      {state === "deleted" && <Button onClick={() => ask("undelete")}>Undelete…</Button>}
      <Button kind="danger" onClick={() => ask("destroy")}>
        Destroy…
      </Button>
    </span>
  );
}

const WHAT: Record<Doing, { title: string; action: string; says: string }> = {
  undelete: { title: "Undelete", action: "Undelete", says: "Its value is served again." },
  delete: { title: "Delete", action: "Delete", says: "It is not served until it is undeleted." },
  destroy: {
    title: "Destroy",
    action: "Destroy for good",
    says: "Its value is erased. Nothing brings it back.",
  },
  rollback: {
    title: "Write again",
    action: "Write it",
    says: "Its value becomes a new version, the current one.",
  },
};

interface AskProps {
  what: Doing;
  secret: Secret;
  row: Version;
  close: () => void;
  done: (said: string) => void;
}

function Ask({ what, secret, row, close, done }: AskProps) {
  const { title, action, says } = WHAT[what];
  const act = async () => {
    if (what !== "rollback") {
      await post(api(what, secret.name), { versions: [row.version] });
      return done(`Version ${row.version} is ${what === "destroy" ? "destroyed" : `${what}d`}`);
    }
    const body = { version: row.version, cas: secret.version };
    const made = await post<Secret>(api("rollback", secret.name), body);
    return done(`Version ${made.version} has the value of version ${row.version}`);
  };
  return (
    <Dialog
      title={`${title}: version ${row.version}`}
      action={action}
      danger={what === "destroy"}
      act={act}
      close={close}
    >
      <p>{says}</p>
    </Dialog>
  );
}

const COLUMNS: Column<Version>[] = [
  { name: "version", title: "Version", width: "5rem", cell: row => row.version },
  { name: "state", title: "State", width: "7rem", cell: row => <State of={stateOf(row)} /> },
  {
    name: "by",
    title: "By",
    cell: row => <span title={row.created_by}>{row.created_by}</span>,
  },
  {
    name: "metadata",
    title: "Metadata",
    width: "6.5rem",
    wide: true,
    cell: row => (row.metadata_changed ? "changed" : ""),
  },
  timeColumn("at", "When", row => row.created_at),
];
