import { useState } from "preact/hooks";
import type { Keyed } from "../lib/collection";
import { count, plural } from "../lib/format";
import { useAnew, useGet, useLive } from "../lib/hooks";
import { navigate, query, setQuery } from "../lib/router";
import { may, ofOrganization, organization, within } from "../lib/session";
import type { AgentRow, Policy, RolloutRow } from "../lib/types";
import { State } from "../parts/badge";
import { Button } from "../parts/button";
import { Card } from "../parts/card";
import { Dialog } from "../parts/dialog";
import { Field, Search } from "../parts/field";
import { LinkState } from "../parts/linkstate";
import { Page } from "../parts/page";
import { Await, Empty, Failure, Stale } from "../parts/states";
import { type Column, Table } from "../parts/table";
import { timeColumn } from "../parts/timecolumn";
import { type Listed, listed } from "./fleet/rows";
import { openRollout, targeted, told } from "./policy/targets";

/** A policy, the agents it is for, and what is on its way. */
interface Row extends Policy {
  agents: number;
  rollout: Keyed<RolloutRow> | undefined;
  /** The newest version was rolled back. */
  undone: boolean;
}

const COLUMNS: Column<Row>[] = [
  {
    name: "name",
    title: "Policy",
    cell: ({ name }) => <a href={within(`/policies/${name}`)}>{name}</a>,
    by: row => row.name,
  },
  {
    name: "state",
    title: "State",
    width: "9.5rem",
    cell: row => <Standing row={row} />,
    by: row => row.rollout?.state ?? (row.stable === row.head ? null : "waits"),
  },
  {
    name: "stable",
    title: "In use",
    width: "5.5rem",
    number: true,
    wide: true,
    cell: row => row.stable || "–",
    by: row => row.stable,
  },
  {
    name: "head",
    title: "Newest",
    width: "5.5rem",
    number: true,
    wide: true,
    cell: row => row.head,
    by: row => row.head,
  },
  {
    name: "targets",
    title: "For",
    wide: true,
    cell: ({ targets }) => <span title={told(targets)}>{told(targets)}</span>,
    by: row => told(row.targets),
  },
  {
    name: "agents",
    title: "Agents",
    width: "5.5rem",
    number: true,
    cell: row => count(row.agents),
    by: row => row.agents,
  },
  timeColumn("changed", "Changed", row => row.changed_at, { wide: true, sorts: true }),
];

/** Every policy of the organization. */
export default function Policies() {
  const org = organization.value;
  const fleet = useLive<AgentRow>("fleet", org);
  const rollouts = useLive<RolloutRow>("rollouts", org);
  const [asks, setAsks] = useState(false);
  fleet.version.value;
  const moving = rollouts.version.value;
  const found = useGet<Policy[]>(ofOrganization("policies"));
  useAnew(found, moving);
  const text = query.value.get("q") ?? "";
  if (fleet.error.value) return <Failure error={fleet.error.value} />;
  return (
    <Page
      title="Policies"
      state={<LinkState />}
      actions={
        may("operator") && (
          <Button kind="primary" icon="policy" onClick={() => setAsks(true)}>
            New policy…
          </Button>
        )
      }
    >
      <div class="stack">
        <Stale freshness={fleet.freshness.value} />
        <Await of={found}>
          {policies => (
            <List policies={policies} text={text} agents={listed(fleet)} moving={rollouts.list()} />
          )}
        </Await>
      </div>
      {asks && <Ask close={() => setAsks(false)} />}
    </Page>
  );
}

interface ListProps {
  policies: Policy[];
  text: string;
  agents: Listed[];
  moving: Keyed<RolloutRow>[];
}

function List({ policies, text, agents, moving }: ListProps) {
  if (!policies.length)
    return (
      <Empty icon="policy" title="No policies yet">
        Agents then enforce their own alone. A policy from here reaches them by a roll-out.
      </Empty>
    );
  const rows = policies
    .filter(({ name }) => name.includes(text.trim().toLowerCase()))
    .map(policy => ({
      ...policy,
      agents: targeted(agents, policy.targets).length,
      rollout: openRollout(moving, policy.name),
      undone: isUndone(moving, policy),
    }));
  return (
    <Card title="All" flush aside={plural(policies.length, "policy", "policies")}>
      <div class="toolbar">
        <Search label="Find policies" value={text} change={q => setQuery({ q })} />
      </div>
      <Table
        label="Policies"
        columns={COLUMNS}
        rows={rows}
        keyOf={({ name }) => name}
        order={{ column: "name", descending: false }}
        open={({ name }) => navigate(within(`/policies/${name}`))}
        empty={<Empty title="No policy fits" />}
      />
    </Card>
  );
}

/** Whether the last that became of its newest version is that it was rolled back. */
function isUndone(rows: Keyed<RolloutRow>[], { name, head }: Policy): boolean {
  const [last] = rows
    .filter(row => row.policy === name && row.version === head)
    .sort((a, b) => b.created - a.created);
  return last?.state === "rolled_back";
}

function Standing({ row: { head, rollout, stable, undone } }: { row: Row }) {
  if (rollout)
    return (
      <State
        of={rollout.state}
        label={`${rollout.state === "halted" ? "Halted at" : "Rolling out"} ${rollout.version}`}
      />
    );
  if (undone && stable !== head)
    return <State of="rolled_back" label={`Version ${head} rolled back`} />;
  if (!stable) return <State of="pending" label="Not rolled out" />;
  return stable === head ? (
    <State of="done" label="In use" />
  ) : (
    <State of="pending" label={`Version ${head} waits`} />
  );
}

function Ask({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const act = async () => navigate(within(`/policies/${name.trim()}?new=1`));
  return (
    <Dialog title="New policy" action="Write it" act={act} close={close}>
      <Field
        label="Name"
        value={name}
        change={setName}
        required
        maxLength={64}
        pattern="[a-z0-9]([a-z0-9\-]{0,62}[a-z0-9])?"
        autocomplete="off"
        hint="1 to 64 of a–z, 0–9 and -, as users and roles of the agents name it."
      />
    </Dialog>
  );
}
