import { useEffect, useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { SelectField, TextField } from "../../../components/field";
import { ProgressBar } from "../../../components/progress";
import { REPLAY_PERIODS, ReplaySummary } from "../../../components/replay-summary";
import { Notice } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { post } from "../../../lib/api";
import type { PolicyDocument } from "../../../lib/api-types";
import { formatCount } from "../../../lib/format";
import { useAction, useGet } from "../../../lib/hooks";
import { organizationPath } from "../../../lib/session";
import { splitWords } from "./targets";

const POLL_INTERVAL = 1000; // milliseconds, while agents are running the replay

interface AgentReplay {
  vault: string;
  state: string;
  accesses: number;
  unchanged: number;
  denied: number;
  allowed: number;
  undecided: Record<string, number>;
}

interface FleetReplay {
  id: string;
  open: boolean;
  accesses: number;
  unchanged: number;
  denied: number;
  allowed: number;
  drifted: number;
  undecided: number;
  agents: AgentReplay[];
}

/** State of the replay at an agent → status and label. */
const STATES: Record<string, [string, string]> = {
  waiting: ["late", "Not connected yet"],
  asked: ["running", "Running"],
  done: ["done", "Answered"],
  refused: ["refusing", "Not allowed by the agent's owner"],
  too_many: ["halted", "Rate limited"],
  invalid: ["failed", "Invalid document"],
  unavailable: ["sealed", "Unavailable"],
  expired: ["late", "Timed out"],
  too_old: ["retired", "Agent version too old"],
  offline: ["offline", "Offline"],
};

const COLUMNS: Column<AgentReplay>[] = [
  { name: "vault", title: "Agent", cell: ({ vault }) => vault, sortBy: row => row.vault },
  {
    name: "state",
    title: "State",
    cell: ({ state }) => {
      const [look, label] = STATES[state] ?? ["unknown", state];
      return <StatusBadge status={look} label={label} />;
    },
    sortBy: row => row.state,
  },
  countColumn("denied", "Denied", row => row.denied),
  countColumn("allowed", "Allowed", row => row.allowed),
];

function countColumn(
  name: string,
  title: string,
  of: (row: AgentReplay) => number,
): Column<AgentReplay> {
  const cell = (row: AgentReplay) => (row.state === "done" ? formatCount(of(row)) : "–");
  return { name, title, numeric: true, width: "4.5rem", cell, sortBy: of };
}

interface ReplayProps {
  name: string;
  /** The edited document. Null while it is invalid. */
  document: PolicyDocument | null;
}

/** Replays recorded accesses on the agents with the draft, before a rollout. Changes nothing. */
export function FleetReplayCard({ name, document }: ReplayProps) {
  const [hours, setHours] = useState("24");
  const [tags, setTags] = useState("");
  const [id, setId] = useState<string | null>(null);
  const { run, busy, error } = useAction(async () => {
    const named = splitWords(tags).map(tag => ({ tag }));
    const body = {
      document,
      hours: Number(hours),
      targets: named.length ? named : [{ all: true }],
    };
    setId((await post<FleetReplay>(organizationPath(`policies/${name}/replays`), body)).id);
  });
  return (
    <Card title="Replay of recorded accesses">
      <div class="stack">
        <form class="stack" onSubmit={run}>
          <SelectField label="Period" value={hours} onChange={setHours} options={REPLAY_PERIODS} />
          <TextField
            label="Agents with a tag"
            hint="One or more tags. Leave empty for all agents."
            value={tags}
            onChange={setTags}
          />
          <Button type="submit" busy={busy} disabled={!document}>
            Run replay
          </Button>
          {error && <Notice tone="bad">{error.message}</Notice>}
        </form>
        {id && <ReplayAnswers key={id} id={id} />}
        <p class="muted small">
          Each agent evaluates its own recorded accesses and returns counts. Nothing is applied.
        </p>
      </div>
    </Card>
  );
}

function ReplayAnswers({ id }: { id: string }) {
  const result = useGet<FleetReplay>(organizationPath(`replays/${id}`));
  const { data, loading } = result;
  useEffect(() => {
    if (loading || (data && !data.open)) return;
    const timer = setTimeout(result.reload, POLL_INTERVAL);
    return () => clearTimeout(timer);
  }, [data, loading]);
  if (result.error && !data) return <Notice tone="bad">{result.error.message}</Notice>;
  if (!data) return null;
  const done = data.agents.filter(({ state }) => state === "done").length;
  const open = data.agents.filter(({ state }) => state === "waiting" || state === "asked").length;
  return (
    <div class="stack" role="status">
      <ProgressBar
        label="Agents finished"
        segments={[
          { tone: "good", value: done },
          { tone: "bad", value: data.agents.length - done - open },
        ]}
        total={data.agents.length}
      />
      <ReplaySummary counts={data} undecided={data.undecided} />
      <Table
        label="Replay by agent"
        columns={COLUMNS}
        rows={data.agents}
        keyOf={({ vault }) => vault}
        height="20rem"
      />
    </div>
  );
}
