import { useState } from "preact/hooks";
import { StatusBadge } from "../../components/badge";
import { Button } from "../../components/button";
import { Card } from "../../components/card";
import { Dialog } from "../../components/dialog";
import { SearchInput, TextField } from "../../components/field";
import { LiveIndicator } from "../../components/live-indicator";
import { Page } from "../../components/page";
import { Await, EmptyState, ErrorState, StaleNotice } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { timeColumn } from "../../components/time-column";
import type { AgentRow, Policy, RolloutRow } from "../../lib/api-types";
import type { WithKey } from "../../lib/collection";
import { formatCount, pluralize } from "../../lib/format";
import { useGet, useLive, useReloadOn } from "../../lib/hooks";
import { navigate, query, setQuery } from "../../lib/router";
import { hasRole, inOrganization, organization, organizationPath } from "../../lib/session";
import { type Agent, currentAgents } from "./fleet/agent-rows";
import { describeTargets, openRollout, targetedAgents } from "./policy/targets";

/** A policy with its number of agents and its open rollout. */
interface PolicyRow extends Policy {
  agents: number;
  rollout: WithKey<RolloutRow> | undefined;
  /** Whether the newest version was rolled back. */
  rolledBack: boolean;
}

const COLUMNS: Column<PolicyRow>[] = [
  {
    name: "name",
    title: "Policy",
    cell: ({ name }) => <a href={inOrganization(`/policies/${name}`)}>{name}</a>,
    sortBy: row => row.name,
  },
  {
    name: "state",
    title: "State",
    width: "9.5rem",
    cell: row => <PolicyRolloutBadge row={row} />,
    sortBy: row => row.rollout?.state ?? (row.stable === row.head ? null : "waits"),
  },
  {
    name: "stable",
    title: "In use",
    width: "5.5rem",
    numeric: true,
    wideOnly: true,
    cell: row => row.stable || "–",
    sortBy: row => row.stable,
  },
  {
    name: "head",
    title: "Newest",
    width: "5.5rem",
    numeric: true,
    wideOnly: true,
    cell: row => row.head,
    sortBy: row => row.head,
  },
  {
    name: "targets",
    title: "Targets",
    wideOnly: true,
    cell: ({ targets }) => <span title={describeTargets(targets)}>{describeTargets(targets)}</span>,
    sortBy: row => describeTargets(row.targets),
  },
  {
    name: "agents",
    title: "Agents",
    width: "5.5rem",
    numeric: true,
    cell: row => formatCount(row.agents),
    sortBy: row => row.agents,
  },
  timeColumn("changed", "Changed", row => row.changed_at, { wideOnly: true, sortable: true }),
];

/** All policies of the organization. */
export default function Policies() {
  const org = organization.value;
  const fleet = useLive<AgentRow>("fleet", org);
  const rollouts = useLive<RolloutRow>("rollouts", org);
  const [dialog, setDialog] = useState(false);
  fleet.version.value;
  const moving = rollouts.version.value;
  const result = useGet<Policy[]>(organizationPath("policies"));
  useReloadOn(result, moving);
  const text = query.value.get("q") ?? "";
  if (fleet.error.value) return <ErrorState error={fleet.error.value} />;
  return (
    <Page
      title="Policies"
      state={<LiveIndicator />}
      actions={
        hasRole("operator") && (
          <Button kind="primary" icon="policy" onClick={() => setDialog(true)}>
            Create policy…
          </Button>
        )
      }
    >
      <div class="stack">
        <StaleNotice freshness={fleet.freshness.value} />
        <Await query={result}>
          {policies => (
            <PolicyTable
              policies={policies}
              text={text}
              agents={currentAgents(fleet)}
              moving={rollouts.list()}
            />
          )}
        </Await>
      </div>
      {dialog && <NewPolicyDialog onClose={() => setDialog(false)} />}
    </Page>
  );
}

interface PolicyTableProps {
  policies: Policy[];
  text: string;
  agents: Agent[];
  moving: WithKey<RolloutRow>[];
}

function PolicyTable({ policies, text, agents, moving }: PolicyTableProps) {
  if (!policies.length)
    return (
      <EmptyState icon="policy" title="No policies yet">
        Agents enforce only their own policies until a policy is rolled out from here.
      </EmptyState>
    );
  const rows = policies
    .filter(({ name }) => name.includes(text.trim().toLowerCase()))
    .map(policy => ({
      ...policy,
      agents: targetedAgents(agents, policy.targets).length,
      rollout: openRollout(moving, policy.name),
      rolledBack: isRolledBack(moving, policy),
    }));
  return (
    <Card title="All policies" flush aside={pluralize(policies.length, "policy", "policies")}>
      <div class="toolbar">
        <SearchInput label="Find policies" value={text} onChange={q => setQuery({ q })} />
      </div>
      <Table
        label="Policies"
        columns={COLUMNS}
        rows={rows}
        keyOf={({ name }) => name}
        order={{ column: "name", descending: false }}
        onOpen={({ name }) => navigate(inOrganization(`/policies/${name}`))}
        empty={<EmptyState title="No matching policies" />}
      />
    </Card>
  );
}

/** Whether the last rollout of the newest version was rolled back. */
function isRolledBack(rows: WithKey<RolloutRow>[], { name, head }: Policy): boolean {
  const [last] = rows
    .filter(row => row.policy === name && row.version === head)
    .sort((a, b) => b.created - a.created);
  return last?.state === "rolled_back";
}

function PolicyRolloutBadge({ row: { head, rollout, stable, rolledBack } }: { row: PolicyRow }) {
  if (rollout)
    return (
      <StatusBadge
        status={rollout.state}
        label={`${rollout.state === "halted" ? "Halted at" : "Rolling out"} ${rollout.version}`}
      />
    );
  if (rolledBack && stable !== head)
    return <StatusBadge status="rolled_back" label={`Version ${head} rolled back`} />;
  if (!stable) return <StatusBadge status="pending" label="Not rolled out" />;
  return stable === head ? (
    <StatusBadge status="done" label="In use" />
  ) : (
    <StatusBadge status="pending" label={`Version ${head} pending`} />
  );
}

function NewPolicyDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const submit = async () => navigate(inOrganization(`/policies/${name.trim()}?new=1`));
  return (
    <Dialog title="Create policy" submitLabel="Continue" onSubmit={submit} onClose={onClose}>
      <TextField
        label="Name"
        value={name}
        onChange={setName}
        required
        maxLength={64}
        pattern="[a-z0-9]([a-z0-9\-]{0,62}[a-z0-9])?"
        autocomplete="off"
        hint="1 to 64 characters: a–z, 0–9 and -. Users and roles on the agents refer to this name."
      />
    </Dialog>
  );
}
