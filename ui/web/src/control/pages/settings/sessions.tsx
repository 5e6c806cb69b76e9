import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { Await } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { showError, showToast } from "../../../components/toasts";
import { remove } from "../../../lib/api";
import { useGet } from "../../../lib/hooks";

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

const SESSION_KINDS: Record<string, string> = {
  browser: "Browser",
  session: "Program",
  api: "API token",
  half: "Sign-in not completed",
};

/** All sessions and API tokens of the account. */
export function SessionsCard() {
  const result = useGet<Session[]>("sessions");
  const end = (ids: string[]) =>
    Promise.all(ids.map(id => remove(`sessions/${id}`)))
      .then(
        () => showToast(ids.length === 1 ? "Session ended" : `${ids.length} sessions ended`),
        showError,
      )
      .then(result.reload);
  const others = result.data?.filter(({ current, kind }) => !current && kind !== "api") ?? [];
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
      <Await query={result}>
        {rows => (
          <Table
            label="Sessions and API tokens"
            columns={[...COLUMNS, actionsColumn(end)]}
            rows={rows}
            keyOf={({ id }) => id}
            height="24rem"
          />
        )}
      </Await>
    </Card>
  );
}

function actionsColumn(end: (ids: string[]) => void): Column<Session> {
  return {
    name: "actions",
    title: "Actions",
    hideTitle: true,
    width: "5.5rem",
    numeric: true,
    cell: ({ current, id }) =>
      current ? (
        <StatusBadge status="info" label="Current" />
      ) : (
        <Button onClick={() => end([id])}>End</Button>
      ),
  };
}

const COLUMNS: Column<Session>[] = [
  {
    name: "kind",
    title: "Kind",
    width: "8rem",
    cell: ({ kind }) => SESSION_KINDS[kind] ?? kind,
    sortBy: row => row.kind,
  },
  {
    name: "with",
    title: "Client",
    cell: ({ kind, label, user_agent }) => {
      const text = kind === "api" ? label : user_agent || label;
      return <span title={text}>{text || "–"}</span>;
    },
  },
  { name: "ip", title: "IP address", width: "9rem", wideOnly: true, cell: ({ ip }) => ip || "–" },
  timeColumn("made", "Started", row => row.created_at, { wideOnly: true, sortable: true }),
  timeColumn("seen", "Last seen", row => row.seen_at, { wideOnly: true, sortable: true }),
  timeColumn("ends", "Expires", row => row.expires_at, { wideOnly: true, sortable: true }),
];
