import { useEffect, useState } from "preact/hooks";
import { post } from "../../lib/api";
import { words } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { may, ofOrganization } from "../../lib/session";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Select } from "../../parts/field";
import { Await, Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { timeColumn } from "../../parts/timecolumn";
import { toast, toastError } from "../../parts/toasts";

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
const ASKED: readonly (readonly [string, string])[] = [
  ["send_metrics", "Tell its metrics"],
  ["send_checkpoint", "Tell its audit checkpoint"],
  ["send_policy_status", "Tell how its policies stand"],
  ["renew_certificate", "Renew its certificate"],
  ["rotate_kek", "Rotate its key (if its owner allows)"],
];
const LOOKS: Record<string, string> = {
  done: "ok",
  failed: "failed",
  refused: "denied",
  unsupported: "denied",
  expired: "retired",
};
const EVERY = 2000; // milliseconds, while an answer is to come

/** What it was asked to do, and what it made of it. */
export function Commands({ vault, active }: { vault: string; active: boolean }) {
  const path = ofOrganization(`agents/${vault}/commands`);
  const found = useGet<Command[]>(path);
  const [command, setCommand] = useState("send_metrics");
  const waits = !!found.data?.some(({ outcome }) => !outcome);
  useEffect(() => {
    if (!waits) return;
    const timer = setInterval(() => document.hidden || found.reload(), EVERY);
    return () => clearInterval(timer);
  }, [waits]);
  const ask = () =>
    post(path, { command }).then(() => {
      toast(`${vault} is asked`);
      found.reload();
    }, toastError);
  return (
    <Card title="Commands" flush>
      {may("operator") && (
        <div class="toolbar asking">
          <Select aria-label="Command" value={command} change={setCommand} options={ASKED} />
          <Button disabled={!active} onClick={ask}>
            Ask it
          </Button>
        </div>
      )}
      <Await of={found}>
        {rows => (
          <Table
            label="Commands"
            columns={COLUMNS}
            rows={rows}
            keyOf={({ id }) => id}
            empty={<Empty title="It was asked nothing yet" />}
          />
        )}
      </Await>
    </Card>
  );
}

const COLUMNS: Column<Command>[] = [
  { name: "command", title: "Command", cell: row => words(row.command) },
  {
    name: "outcome",
    title: "Outcome",
    width: "9rem",
    cell: ({ outcome }) =>
      outcome ? (
        <State of={LOOKS[outcome] ?? outcome} label={words(outcome)} />
      ) : (
        <State of="wanted" label="Waits for it" />
      ),
  },
  { name: "by", title: "By", wide: true, cell: row => row.created_by },
  timeColumn("asked", "Asked", row => row.created_at),
  timeColumn("done", "Done", row => row.done_at, { wide: true }),
];
