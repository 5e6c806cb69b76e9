import { useEffect, useState } from "preact/hooks";
import { PolicyStatusBadge, StatusBadge, TagList } from "../../../components/badge";
import { Card } from "../../../components/card";
import { EmptyState } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { showError } from "../../../components/toasts";
import { asApiError, get } from "../../../lib/api";
import type { Assignment, Policy } from "../../../lib/api-types";
import { humanize, pluralize } from "../../../lib/format";
import { CONTROL_LIMITS } from "../../../lib/limits";
import { navigate } from "../../../lib/router";
import { inOrganization, organizationPath } from "../../../lib/session";
import type { Agent } from "../fleet/agent-rows";

const PAGE_SIZE = CONTROL_LIMITS["policies/{policy}/status"];
const POLL_PAUSE = 1000; // milliseconds between two requests while agents report

/** An agent and the version of this policy in its bundle. */
interface PolicyAgent extends Agent {
  installed: number;
}

const URGENCY = ["unknown", "failed", "wanted", "applied", ""];

/** The outcome of the policy at each target, live. */
export function PolicyAgents({ policy, agents }: { policy: Policy; agents: readonly Agent[] }) {
  const having = useInstalledVersions(policy.name, bundleStamp(agents));
  const rows = agents.map(row => ({ ...row, installed: having.get(row.key) ?? 0 }));
  return (
    <Card title="Agents" flush aside={pluralize(rows.length, "agent")}>
      <Table
        label="Agents of this policy"
        columns={COLUMNS}
        rows={rows}
        keyOf={({ key }) => key}
        order={{ column: "outcome", descending: false }}
        onOpen={({ key }) => navigate(inOrganization(`/agents/${key}`))}
        height="28rem"
        empty={<EmptyState title="No targets yet" />}
      />
    </Card>
  );
}

const COLUMNS: Column<PolicyAgent>[] = [
  {
    name: "vault",
    title: "Agent",
    cell: ({ key }) => <a href={inOrganization(`/agents/${key}`)}>{key}</a>,
    sortBy: ({ key }) => key,
  },
  {
    name: "version",
    title: "Version",
    width: "5.5rem",
    numeric: true,
    cell: ({ installed }) => installed || "–",
    sortBy: ({ installed }) => installed,
  },
  {
    name: "outcome",
    title: "Outcome",
    width: "8.5rem",
    cell: ({ installed, policy }) =>
      installed && policy ? (
        <PolicyStatusBadge status={policy} />
      ) : (
        <span class="muted">Not reached</span>
      ),
    sortBy: ({ installed, policy }) => URGENCY.indexOf(installed ? policy : ""),
  },
  {
    name: "why",
    title: "Reason",
    wideOnly: true,
    cell: ({ policy, why }) => (policy === "failed" ? humanize(why) : "–"),
  },
  {
    name: "state",
    title: "State",
    width: "7.5rem",
    wideOnly: true,
    cell: row => <StatusBadge status={row.state} />,
    sortBy: row => row.state,
  },
  {
    name: "tags",
    title: "Tags",
    wideOnly: true,
    cell: ({ tags }) => <TagList tags={tags} max={2} />,
  },
];

/** Agent → version of the policy in its bundle. Reloaded when a bundle changes. */
function useInstalledVersions(name: string, stamp: string): ReadonlyMap<string, number> {
  const [having, setHaving] = useState<ReadonlyMap<string, number>>(new Map());
  const path = organizationPath(`policies/${name}/status`);
  useEffect(() => {
    const controller = new AbortController();
    const ask = () =>
      allAssignments(path, controller.signal)
        .then(found => setHaving(new Map(found.map(row => [row.vault, row.policies[name] ?? 0]))))
        .catch(error => controller.signal.aborted || showError(asApiError(error)));
    const timer = setTimeout(ask, having.size ? POLL_PAUSE : 0);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [path, stamp]);
  return having;
}

async function allAssignments(path: string, signal: AbortSignal): Promise<Assignment[]> {
  const result: Assignment[] = [];
  for (;;) {
    const after = result.at(-1)?.vault ?? "";
    const page = await get<Assignment[]>(path, { signal, query: { limit: PAGE_SIZE, after } });
    result.push(...page);
    if (page.length < PAGE_SIZE) return result;
  }
}

/** Changes whenever a bundle of these agents changes. */
function bundleStamp(agents: readonly Agent[]): string {
  const wanted = agents.reduce((sum, row) => sum + row.wanted, 0);
  return `${agents.length} ${wanted}`;
}
