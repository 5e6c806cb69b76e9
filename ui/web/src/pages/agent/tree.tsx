import { compact, count, millis } from "../../lib/format";
import type { ActorNode, AgentSections } from "../../lib/types";
import { State } from "../../parts/badge";
import { Card } from "../../parts/card";
import { Progress } from "../../parts/progress";
import { Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { TimeAgo } from "../../parts/time";
import "./tree.css";

const ALARMING = 0.8; // of a mailbox's bound

const COLUMNS: Column<ActorNode>[] = [
  {
    name: "path",
    title: "Actor",
    cell: ({ path }) => (
      <span class="actor" style={{ "--depth": depth(path) }} title={path}>
        {path.split("/").pop()}
      </span>
    ),
  },
  { name: "state", title: "State", width: "6.5rem", cell: ({ state }) => <State of={state} /> },
  {
    name: "mailbox",
    title: "Mailbox",
    width: "11rem",
    wide: true,
    cell: node => (node.bound ? <Mailbox node={node} /> : <span class="muted">–</span>),
    by: node => node.depth,
  },
  {
    name: "handled",
    title: "Handled",
    width: "6rem",
    number: true,
    wide: true,
    cell: ({ handled }) => compact(handled),
    by: node => node.handled,
  },
  {
    name: "mean",
    title: "Mean / max",
    width: "9rem",
    number: true,
    wide: true,
    cell: ({ handled, mean_us, max_us }) =>
      handled ? `${millis(mean_us / 1000)} / ${millis(max_us / 1000)}` : "–",
    by: node => node.mean_us,
  },
  {
    name: "lost",
    title: "Refused, dropped",
    width: "9rem",
    number: true,
    wide: true,
    cell: node => `${count(node.refused)}, ${count(node.dropped)}`,
    by: node => node.refused + node.dropped,
  },
  {
    name: "restarts",
    title: "Restarts",
    width: "5.5rem",
    number: true,
    cell: node => count(node.restarts),
    by: node => node.restarts,
  },
];

/** The agent's actors as they stand under their supervisors. */
export function Tree({ tree }: { tree: AgentSections["tree"] | undefined }) {
  if (!tree?.nodes)
    return (
      <Empty icon="tree" title="It has not told yet">
        An agent tells its actors while somebody looks and its link is up.
      </Empty>
    );
  return (
    <Card title="Actors" flush aside={<TimeAgo at={tree.at} />}>
      <Table
        label="Actors"
        columns={COLUMNS}
        rows={tree.nodes}
        keyOf={node => node.path}
        height="40rem"
      />
    </Card>
  );
}

function Mailbox({ node: { bound, depth } }: { node: ActorNode }) {
  const tone = depth >= bound * ALARMING ? "bad" : "info";
  return (
    <span class="mailbox">
      <Progress label="Mailbox" shares={[{ tone, value: depth }]} total={bound} />
      <span class="muted">
        {count(depth)} of {count(bound)}
      </span>
    </span>
  );
}

function depth(path: string): number {
  return path.split("/").filter(Boolean).length - 1;
}
