import type { ReadonlySignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import {
  BackupBadge,
  PolicyStatusBadge,
  RotationBadge,
  StatusBadge,
  TagList,
} from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { SearchInput, Select } from "../../../components/field";
import { EmptyState } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { RelativeTime } from "../../../components/time";
import { formatCompact, formatCount, formatMillis, pluralize } from "../../../lib/format";
import { navigate, query, setQuery } from "../../../lib/router";
import { inOrganization } from "../../../lib/session";
import {
  type Agent,
  type FleetSummary,
  filterAgents,
  isReporting,
  rankByCount,
  UNCERTIFIED,
} from "./agent-rows";

const MAX_OPTIONS = 100; // for each filter, the most frequent; the search finds the rest
const URGENCY = [
  ...["refusing", "sealed", "offline", "locked", "degraded", "late"],
  ...["pending", "unknown", "online"],
];

const BACKUP_URGENCY = ["late", "failed", "unproven", "off", "", "good"];

const ROTATION_URGENCY = ["stuck", "overdue", "failing", "", "none", "good"];

const COLUMNS: Column<Agent>[] = [
  {
    name: "state",
    title: "State",
    width: "7.5rem",
    cell: row => <StatusBadge status={row.state} />,
    sortBy: row => URGENCY.indexOf(row.state),
  },
  {
    name: "vault",
    title: "Agent",
    cell: ({ key }) => <a href={inOrganization(`/agents/${key}`)}>{key}</a>,
    sortBy: row => row.key,
  },
  {
    name: "tags",
    title: "Tags",
    wideOnly: true,
    cell: ({ tags }) => <TagList tags={tags} max={2} />,
  },
  {
    name: "version",
    title: "Version",
    width: "6rem",
    wideOnly: true,
    cell: row => row.version || "–",
    sortBy: row => row.version || null,
  },
  {
    name: "policy",
    title: "Policies",
    width: "7.5rem",
    wideOnly: true,
    cell: ({ policy }) =>
      policy ? <PolicyStatusBadge status={policy} /> : <span class="muted">None</span>,
    sortBy: row => row.policy || null,
  },
  {
    name: "backup",
    title: "Backups",
    width: "7.5rem",
    wideOnly: true,
    cell: row => <BackupBadge state={row.backup} certified={row.certified} />,
    sortBy: row => BACKUP_URGENCY.indexOf(row.backup),
  },
  {
    name: "rotation",
    title: "Rotations",
    width: "7.5rem",
    wideOnly: true,
    cell: row => <RotationBadge state={row.rotation} owed={row.rotations_owed} />,
    sortBy: row => ROTATION_URGENCY.indexOf(row.rotation),
  },
  {
    name: "requests",
    title: "Req/s",
    width: "5.5rem",
    numeric: true,
    wideOnly: true,
    cell: row => formatCompact(row.requests),
    sortBy: row => row.requests,
  },
  {
    name: "errors",
    title: "Err/s",
    width: "5.5rem",
    numeric: true,
    wideOnly: true,
    cell: row => formatCompact(row.errors),
    sortBy: row => row.errors,
  },
  {
    name: "p99",
    title: "p99",
    width: "5.5rem",
    numeric: true,
    wideOnly: true,
    cell: row => formatMillis(row.p99),
    sortBy: row => row.p99,
  },
  {
    name: "heard",
    title: "Last seen",
    width: "7rem",
    numeric: true,
    wideOnly: true,
    cell: row => (isReporting(row) ? "now" : <RelativeTime at={row.heard} />),
    sortBy: row => (isReporting(row) ? Number.MAX_SAFE_INTEGER : row.heard || null),
  },
];

interface AgentTableProps {
  rows: ReadonlySignal<readonly Agent[]>;
  summary: ReadonlySignal<FleetSummary>;
}

/** All agents. The filters are in the address. */
export function AgentTable(props: AgentTableProps) {
  const [rows, summary] = [props.rows.value, props.summary.value];
  const param = (name: string) => query.value.get(name) ?? "";
  const [text, state, tag, version] = [param("q"), param("state"), param("tag"), param("version")];
  const [vault, backup, rotation] = [param("vault"), param("backup"), param("rotation")];
  const shown = useMemo(
    () => filterAgents(rows, { text, state, tag, version, vault, backup, rotation }),
    [rows, text, state, tag, version, vault, backup, rotation],
  );
  const all = shown.length === rows.length;
  return (
    <Card
      title="Agents"
      flush
      aside={
        all
          ? pluralize(rows.length, "agent")
          : `${formatCount(shown.length)} of ${formatCount(rows.length)}`
      }
    >
      <div class="toolbar">
        <SearchInput label="Find agents" value={text} onChange={q => setQuery({ q })} />
        <Select
          aria-label="State"
          value={state}
          onChange={value => setQuery({ state: value })}
          options={filterOptions("Any state", {
            ...summary.states,
            failed: summary.policies.failed ?? 0,
          })}
        />
        <Select
          aria-label="Tag"
          value={tag}
          onChange={value => setQuery({ tag: value })}
          options={filterOptions("Any tag", summary.tags)}
        />
        <Select
          aria-label="Version"
          value={version}
          onChange={value => setQuery({ version: value })}
          options={filterOptions("Any version", summary.versions)}
        />
        <Select
          aria-label="Backups"
          value={backup}
          onChange={value => setQuery({ backup: value })}
          options={backupOptions(summary.backups)}
        />
        <Select
          aria-label="Rotations"
          value={rotation}
          onChange={value => setQuery({ rotation: value })}
          options={filterOptions("Any rotations", summary.rotations)}
        />
        {vault && <Button onClick={() => setQuery({ vault: "" })}>All vaults</Button>}
      </div>
      <Table
        label="Agents"
        columns={COLUMNS}
        rows={shown}
        keyOf={row => row.key}
        order={{ column: "state", descending: false }}
        onOpen={row => navigate(inOrganization(`/agents/${row.key}`))}
        height="max(28rem, 55vh)"
        empty={<EmptyState title="No matching agents">Try fewer filters.</EmptyState>}
      />
    </Card>
  );
}

function backupOptions({ uncertified = 0, ...states }: Record<string, number>): [string, string][] {
  const others = filterOptions("Any backups", states);
  return [...others, [UNCERTIFIED, `No fresh certificate (${formatCount(uncertified)})`]];
}

function filterOptions(any: string, counts: Record<string, number>): [string, string][] {
  const result = rankByCount(counts)
    .slice(0, MAX_OPTIONS)
    .map(([name, number]): [string, string] => [name, `${name} (${formatCount(number)})`]);
  return [["", any], ...result];
}
