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
  /** Empty while the command is pending. */
  outcome: string;
  done_at: string | null;
}

/**
 * The commands of the link protocol. `rotate_kek` and `run_backup` need the permission of the
 * agent's owner.
 */
const COMMANDS: readonly (readonly [string, string])[] = [
  ["send_metrics", "Send metrics"],
  ["send_checkpoint", "Send audit checkpoint"],
  ["send_policy_status", "Send policy status"],
  ["renew_certificate", "Renew certificate"],
  ["rotate_kek", "Rotate key (if the agent's owner allows it)"],
  ["run_backup", "Run backup (if the agent's owner allows it)"],
];
const OUTCOME_STATUS: Record<string, string> = {
  done: "ok",
  failed: "failed",
  refused: "denied",
  unsupported: "denied",
  expired: "retired",
};
const POLL_INTERVAL = 2000; // milliseconds, while a command is pending

/** Commands sent to an agent, and their outcomes. */
export function Commands({ vault, active }: { vault: string; active: boolean }) {
  const path = organizationPath(`agents/${vault}/commands`);
  const result = useGet<Command[]>(path);
  const [command, setCommand] = useState("send_metrics");
  const isWaiting = !!result.data?.some(({ outcome }) => !outcome);
  useEffect(() => {
    if (!isWaiting) return;
    const timer = setInterval(() => document.hidden || result.reload(), POLL_INTERVAL);
    return () => clearInterval(timer);
  }, [isWaiting]);
  const ask = () =>
    post(path, { command }).then(() => {
      showToast(`Command sent to ${vault}`);
      result.reload();
    }, showError);
  return (
    <Card title="Commands" flush>
      {hasRole("operator") && (
        <div class="toolbar">
          <Select aria-label="Command" value={command} onChange={setCommand} options={COMMANDS} />
          <Button disabled={!active} onClick={ask}>
            Send command
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
            empty={<EmptyState title="No commands yet" />}
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
        <StatusBadge status="wanted" label="Waiting" />
      ),
  },
  { name: "by", title: "Requested by", wideOnly: true, cell: row => row.created_by },
  timeColumn("asked", "Sent", row => row.created_at),
  timeColumn("done", "Done", row => row.done_at, { wideOnly: true }),
];
