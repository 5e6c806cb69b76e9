import { useEffect, useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { Select } from "../../../components/field";
import { Await, EmptyState } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { showError, showToast } from "../../../components/toasts";
import { post } from "../../../lib/api";
import { humanize } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { hasRole, organizationPath } from "../../../lib/session";

interface Command {
  id: string;
  command: string;
  created_by: string;
  created_at: string;
  /** Empty until it tells. */
  outcome: string;
  done_at: string | null;
}

/**
 * Of the link's closed list what an agent can do; what reaches into the vault its owner has to have
 * allowed. `run_backup` is a word of the link that no agent carries out yet.
 */
const COMMANDS: readonly (readonly [string, string])[] = [
  ["send_metrics", "Tell its metrics"],
  ["send_checkpoint", "Tell its audit checkpoint"],
  ["send_policy_status", "Tell how its policies stand"],
  ["renew_certificate", "Renew its certificate"],
  ["rotate_kek", "Rotate its key (if its owner allows)"],
];
const OUTCOME_STATUS: Record<string, string> = {
  done: "ok",
  failed: "failed",
  refused: "denied",
  unsupported: "denied",
  expired: "retired",
};
const POLL_INTERVAL = 2000; // milliseconds, while an answer is to come

/** What it was asked to do, and what it made of it. */
export function Commands({ vault, active }: { vault: string; active: boolean }) {
  const path = organizationPath(`agents/${vault}/commands`);
  const result = useGet<Command[]>(path);
  const [command, setCommand] = useState("send_metrics");
  const waits = !!result.data?.some(({ outcome }) => !outcome);
  useEffect(() => {
    if (!waits) return;
    const timer = setInterval(() => document.hidden || result.reload(), POLL_INTERVAL);
    return () => clearInterval(timer);
  }, [waits]);
  const ask = () =>
    post(path, { command }).then(() => {
      showToast(`${vault} is asked`);
      result.reload();
    }, showError);
  return (
    <Card title="Commands" flush>
      {hasRole("operator") && (
        <div class="toolbar asking">
          <Select aria-label="Command" value={command} onChange={setCommand} options={COMMANDS} />
          <Button disabled={!active} onClick={ask}>
            Ask it
          </Button>
        </div>
      )}
      <Await query={result}>
        {rows => (
          <Table
            label="Commands"
            columns={COLUMNS}
            rows={rows}
            keyOf={({ id }) => id}
            empty={<EmptyState title="It was asked nothing yet" />}
          />
        )}
      </Await>
    </Card>
  );
}

const COLUMNS: Column<Command>[] = [
  { name: "command", title: "Command", cell: row => humanize(row.command) },
  {
    name: "outcome",
    title: "Outcome",
    width: "9rem",
    cell: ({ outcome }) =>
      outcome ? (
        <StatusBadge status={OUTCOME_STATUS[outcome] ?? outcome} label={humanize(outcome)} />
      ) : (
        <StatusBadge status="wanted" label="Waits for it" />
      ),
  },
  { name: "by", title: "By", wideOnly: true, cell: row => row.created_by },
  timeColumn("asked", "Asked", row => row.created_at),
  timeColumn("done", "Done", row => row.done_at, { wideOnly: true }),
];
