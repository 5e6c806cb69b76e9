import type { ActorNode, AgentSections } from "../lib/api-types";
import { formatCompact, formatCount, formatMillis } from "../lib/format";
import { StatusBadge } from "./badge";
import { Card } from "./card";
import { ProgressBar } from "./progress";
import { EmptyState } from "./states";
import { type Column, Table } from "./table";
import { RelativeTime } from "./time";
import "./actor-tree.css";

const NEARLY_FULL = 0.8; // share of a mailbox's bound

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
  {
    name: "state",
    title: "State",
    width: "6.5rem",
    cell: ({ state }) => <StatusBadge status={state} />,
  },
  {
    name: "mailbox",
    title: "Mailbox",
    width: "11rem",
    wideOnly: true,
    cell: node => (node.bound ? <Mailbox node={node} /> : <span class="muted">–</span>),
    sortBy: node => node.depth,
  },
  {
    name: "handled",
    title: "Handled",
    width: "6rem",
    numeric: true,
    wideOnly: true,
    cell: ({ handled }) => formatCompact(handled),
    sortBy: node => node.handled,
  },
  {
    name: "mean",
    title: "Mean / max",
    width: "9rem",
    numeric: true,
    wideOnly: true,
    cell: ({ handled, mean_us, max_us }) =>
      handled ? `${formatMillis(mean_us / 1000)} / ${formatMillis(max_us / 1000)}` : "–",
    sortBy: node => node.mean_us,
  },
  {
    name: "lost",
    title: "Refused / dropped",
    width: "9rem",
    numeric: true,
    wideOnly: true,
    cell: node => `${formatCount(node.refused)} / ${formatCount(node.dropped)}`,
    sortBy: node => node.refused + node.dropped,
  },
  {
    name: "restarts",
    title: "Restarts",
    width: "5.5rem",
    numeric: true,
    cell: node => formatCount(node.restarts),
    sortBy: node => node.restarts,
  },
];

/** A table of the actors, indented by their place in the supervision tree. */
export function ActorTree({ tree }: { tree: AgentSections["tree"] | undefined }) {
  if (!tree?.nodes)
    return (
      <EmptyState icon="tree" title="No actors reported yet">
        An agent reports its actors while this page is open and its link is connected.
      </EmptyState>
    );
  return (
    <Card title="Actors" flush aside={<RelativeTime at={tree.at} />}>
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
  const tone = depth >= bound * NEARLY_FULL ? "bad" : "info";
  return (
    <span class="mailbox">
      <ProgressBar label="Mailbox" segments={[{ tone, value: depth }]} total={bound} />
      <span class="muted">
        {formatCount(depth)} of {formatCount(bound)}
      </span>
    </span>
  );
}

function depth(path: string): number {
  return path.split("/").filter(Boolean).length - 1;
}
