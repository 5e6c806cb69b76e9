import { remove } from "../../lib/api";
import { useGet } from "../../lib/hooks";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Await } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { timeColumn } from "../../parts/timecolumn";
import { toast, toastError } from "../../parts/toasts";

interface Session {
  id: string;
  kind: string;
  label: string;
  current: boolean;
  ip: string;
  user_agent: string;
  created_at: string;
  seen_at: string | null;
  expires_at: string;
}

const KINDS: Record<string, string> = {
  browser: "Browser",
  session: "Program",
  api: "API token",
  half: "Half signed in",
};

/** What one is signed in with, everywhere; each can be ended. */
export function Sessions() {
  const found = useGet<Session[]>("sessions");
  const end = (ids: string[]) =>
    Promise.all(ids.map(id => remove(`sessions/${id}`)))
      .then(() => toast(ids.length === 1 ? "It is ended" : `${ids.length} are ended`), toastError)
      .then(found.reload);
  const others = found.data?.filter(({ current, kind }) => !current && kind !== "api") ?? [];
  return (
    <Card
      title="Sessions and API tokens"
      flush
      aside={
        others.length > 0 && (
          <Button onClick={() => end(others.map(({ id }) => id))}>End all other sessions</Button>
        )
      }
    >
      <Await of={found}>
        {rows => (
          <Table
            label="Sessions and API tokens"
            columns={[...COLUMNS, ends(end)]}
            rows={rows}
            keyOf={({ id }) => id}
            height="24rem"
          />
        )}
      </Await>
    </Card>
  );
}

function ends(end: (ids: string[]) => void): Column<Session> {
  return {
    name: "actions",
    title: "Actions",
    bare: true,
    width: "5.5rem",
    number: true,
    cell: ({ current, id }) =>
      current ? <State of="info" label="This" /> : <Button onClick={() => end([id])}>End</Button>,
  };
}

const COLUMNS: Column<Session>[] = [
  {
    name: "kind",
    title: "Kind",
    width: "8rem",
    cell: ({ kind }) => KINDS[kind] ?? kind,
    by: row => row.kind,
  },
  {
    name: "with",
    title: "With",
    cell: ({ kind, label, user_agent }) => {
      const told = kind === "api" ? label : user_agent || label;
      return <span title={told}>{told || "–"}</span>;
    },
  },
  { name: "ip", title: "From", width: "9rem", wide: true, cell: ({ ip }) => ip || "–" },
  timeColumn("made", "Opened", row => row.created_at, { wide: true, sorts: true }),
  timeColumn("seen", "Seen", row => row.seen_at, { wide: true, sorts: true }),
  timeColumn("ends", "Ends", row => row.expires_at, { wide: true, sorts: true }),
];
