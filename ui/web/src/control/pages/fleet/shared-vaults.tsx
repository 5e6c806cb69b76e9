import type { ReadonlySignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Card } from "../../../components/card";
import { type Column, Table } from "../../../components/table";
import { pluralize } from "../../../lib/format";
import { setQuery } from "../../../lib/router";
import { inOrganization } from "../../../lib/session";
import { type Agent, groupByVault, type Vault } from "./agent-rows";

const MAX_NAMES = 6;

const COLUMNS: Column<Vault>[] = [
  {
    name: "state",
    title: "State",
    width: "9rem",
    cell: ({ state }) => (
      <StatusBadge status={state} label={state === "partial" ? "Some nodes" : undefined} />
    ),
  },
  {
    name: "nodes",
    title: "Nodes",
    cell: ({ nodes }) => (
      <span class="tags">
        {nodes.slice(0, MAX_NAMES).map(({ key, state }) => (
          <a key={key} href={inOrganization(`/agents/${key}`)}>
            <StatusBadge status={state} label={key} />
          </a>
        ))}
        {nodes.length > MAX_NAMES && <span class="tag">+{nodes.length - MAX_NAMES}</span>}
      </span>
    ),
  },
  {
    name: "serving",
    title: "Serving",
    width: "7rem",
    numeric: true,
    cell: ({ serving, nodes }) => `${serving} of ${nodes.length}`,
  },
  {
    name: "id",
    title: "Vault",
    width: "8rem",
    wideOnly: true,
    cell: ({ key }) => <code title={key}>{key.slice(0, 8)}</code>,
  },
];

/** Vaults that several agents serve. A click on one filters the agents. */
export function SharedVaults(props: { rows: ReadonlySignal<readonly Agent[]> }) {
  const rows = props.rows.value;
  const vaults = useMemo(() => groupByVault(rows).filter(({ nodes }) => nodes.length > 1), [rows]);
  if (!vaults.length) return null;
  return (
    <Card title="Vaults with several nodes" flush aside={pluralize(vaults.length, "vault")}>
      <Table
        label="Vaults with several nodes"
        columns={COLUMNS}
        rows={vaults}
        keyOf={({ key }) => key}
        onOpen={({ key }) => setQuery({ vault: key })}
        height="16rem"
      />
    </Card>
  );
}
