import { useState } from "preact/hooks";
import { StatusBadge } from "../../components/badge";
import { Button } from "../../components/button";
import { Card } from "../../components/card";
import { Dialog } from "../../components/dialog";
import { Page } from "../../components/page";
import { Await, EmptyState } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { timeColumn } from "../../components/time-column";
import { showToast } from "../../components/toasts";
import { remove } from "../../lib/api";
import { pluralize } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import type { SessionEntry } from "../api-types";

/** The sessions of the signed-in user: where they are, and the end of that. */
export default function Sessions() {
  const result = useGet<{ sessions: SessionEntry[] }>("sessions");
  return (
    <Page title="My sessions">
      <Await query={result}>
        {({ sessions }) => (
          <SessionTable
            title="All sessions"
            place="sessions"
            rows={sessions}
            onDone={result.reload}
          />
        )}
      </Await>
    </Page>
  );
}

interface SessionTableProps {
  title: string;
  /** The API path of the list. */
  place: string;
  rows: readonly SessionEntry[];
  onDone: () => void;
}

/** Sessions, each of which can be ended; the current one by signing out. */
export function SessionTable({ title, place, rows, onDone }: SessionTableProps) {
  const [ends, setEnds] = useState<SessionEntry | null>(null);
  return (
    <Card title={title} flush aside={pluralize(rows.length, "session")}>
      <Table
        label={title}
        columns={columns(setEnds)}
        rows={rows}
        keyOf={({ accessor }) => accessor}
        empty={<EmptyState icon="lock" title="No sessions" />}
      />
      {ends && (
        <RevokeSession session={ends} place={place} onClose={() => setEnds(null)} onDone={onDone} />
      )}
    </Card>
  );
}

function columns(revoke: (session: SessionEntry) => void): Column<SessionEntry>[] {
  return [
    {
      name: "method",
      title: "Method",
      cell: row => (
        <>
          {row.mount ? `${row.method} (${row.mount})` : row.method}
          {row.current && <StatusBadge status="active" label="This session" />}
        </>
      ),
      sortBy: row => row.method,
    },
    {
      name: "kind",
      title: "Kind",
      width: "7rem",
      wideOnly: true,
      cell: row => (row.browser ? "Browser" : "Token"),
    },
    { name: "address", title: "Address", width: "10rem", cell: row => row.address || "–" },
    timeColumn("made", "Since", row => row.created_at, { wideOnly: true, sortable: true }),
    timeColumn("used", "Last used", row => row.last_used, { wideOnly: true, sortable: true }),
    {
      name: "end",
      title: "Action",
      width: "6.5rem",
      numeric: true,
      cell: row =>
        !row.current && (
          <Button
            kind="quiet"
            aria-label={`Revoke the session ${row.accessor}`}
            onClick={() => revoke(row)}
          >
            Revoke…
          </Button>
        ),
    },
  ];
}

interface RevokeProps {
  session: SessionEntry;
  place: string;
  onClose: () => void;
  onDone: () => void;
}

function RevokeSession({ session, place, onClose, onDone }: RevokeProps) {
  const submit = async () => {
    await remove(`${place}/${encodeURIComponent(session.accessor)}`);
    showToast("Session revoked");
    onDone();
  };
  return (
    <Dialog
      title="Revoke this session?"
      submitLabel="Revoke"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        Its next request is denied, wherever it is. Its streams and everything that it made end
        immediately.
      </p>
    </Dialog>
  );
}
