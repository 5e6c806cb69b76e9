import { useEffect, useState } from "preact/hooks";
import { asApiError, get } from "../../lib/api";
import { plural, words } from "../../lib/format";
import { CONTROL_LIMITS } from "../../lib/limits";
import { navigate } from "../../lib/router";
import { ofOrganization, within } from "../../lib/session";
import type { Assignment, Policy } from "../../lib/types";
import { PolicyState, State, Tags } from "../../parts/badge";
import { Card } from "../../parts/card";
import { Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { toastError } from "../../parts/toasts";
import type { Listed } from "../fleet/rows";

const PAGE = CONTROL_LIMITS["policies/{policy}/status"];
const PAUSE = 1000; // milliseconds between two askings while agents report

/** An agent, and the version of this policy that its bundle has. */
interface Row extends Listed {
  has: number;
}

const URGENCY = ["unknown", "failed", "wanted", "applied", ""];

/** What became of the policy at each agent that it is for, as of this moment. */
export function Agents({ policy, agents }: { policy: Policy; agents: readonly Listed[] }) {
  const having = useHaving(policy.name, stampOf(agents));
  const rows = agents.map(row => ({ ...row, has: having.get(row.key) ?? 0 }));
  return (
    <Card title="Agents" flush aside={plural(rows.length, "agent")}>
      <Table
        label="Agents of this policy"
        columns={COLUMNS}
        rows={rows}
        keyOf={({ key }) => key}
        order={{ column: "outcome", descending: false }}
        open={({ key }) => navigate(within(`/agents/${key}`))}
        height="28rem"
        empty={<Empty title="It is for nobody yet" />}
      />
    </Card>
  );
}

const COLUMNS: Column<Row>[] = [
  {
    name: "vault",
    title: "Agent",
    cell: ({ key }) => <a href={within(`/agents/${key}`)}>{key}</a>,
    by: ({ key }) => key,
  },
  {
    name: "version",
    title: "Version",
    width: "5.5rem",
    number: true,
    cell: ({ has }) => has || "–",
    by: ({ has }) => has,
  },
  {
    name: "outcome",
    title: "Outcome",
    width: "8.5rem",
    cell: ({ has, policy }) =>
      has && policy ? <PolicyState of={policy} /> : <span class="muted">Not reached</span>,
    by: ({ has, policy }) => URGENCY.indexOf(has ? policy : ""),
  },
  {
    name: "why",
    title: "Refused for",
    wide: true,
    cell: ({ policy, why }) => (policy === "failed" ? words(why) : "–"),
  },
  {
    name: "state",
    title: "State",
    width: "7.5rem",
    wide: true,
    cell: row => <State of={row.state} />,
    by: row => row.state,
  },
  { name: "tags", title: "Tags", wide: true, cell: ({ tags }) => <Tags of={tags} most={2} /> },
];

/** Agent → version of the policy in its bundle; asked for again when bundles have changed. */
function useHaving(name: string, stamp: string): ReadonlyMap<string, number> {
  const [having, setHaving] = useState<ReadonlyMap<string, number>>(new Map());
  const path = ofOrganization(`policies/${name}/status`);
  useEffect(() => {
    const ending = new AbortController();
    const ask = () =>
      everybody(path, ending.signal)
        .then(found => setHaving(new Map(found.map(row => [row.vault, row.policies[name] ?? 0]))))
        .catch(error => ending.signal.aborted || toastError(asApiError(error)));
    const timer = setTimeout(ask, having.size ? PAUSE : 0);
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [path, stamp]);
  return having;
}

async function everybody(path: string, signal: AbortSignal): Promise<Assignment[]> {
  const found: Assignment[] = [];
  for (;;) {
    const after = found.at(-1)?.vault ?? "";
    const page = await get<Assignment[]>(path, { signal, query: { limit: PAGE, after } });
    found.push(...page);
    if (page.length < PAGE) return found;
  }
}

/** Another one whenever some bundle of theirs is. */
function stampOf(agents: readonly Listed[]): string {
  const wanted = agents.reduce((sum, row) => sum + row.wanted, 0);
  return `${agents.length} ${wanted}`;
}
