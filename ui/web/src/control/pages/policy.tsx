import { useState } from "preact/hooks";
import { StatusBadge } from "../../components/badge";
import { Button } from "../../components/button";
import { Card, Stat, StatRow } from "../../components/card";
import { CodeBlock } from "../../components/code-block";
import { LiveIndicator } from "../../components/live-indicator";
import { Page } from "../../components/page";
import { EmptyState, ErrorState, Loading, StaleNotice } from "../../components/states";
import { type Tab, Tabs } from "../../components/tabs";
import type { AgentRow, Policy, PolicyVersion, RolloutRow } from "../../lib/api-types";
import type { WithKey } from "../../lib/collection";
import { pluralize } from "../../lib/format";
import { useGet, useLive, useReloadOn } from "../../lib/hooks";
import { formatPolicy } from "../../lib/policy-document";
import { navigate, type PageProps, query } from "../../lib/router";
import { hasRole, inOrganization, organization, organizationPath } from "../../lib/session";
import { type Agent, currentAgents } from "./fleet/agent-rows";
import { PolicyAgents } from "./policy/agents";
import { VersionEditor } from "./policy/editor";
import { RolloutDialog } from "./policy/rollout-dialog";
import { describeTargets, openRollout, targetedAgents } from "./policy/targets";
import { TargetsDialog } from "./policy/targets-dialog";
import { MAX_VERSIONS, PolicyVersions } from "./policy/versions";
import { FinishedRollouts } from "./rollouts";
import { RolloutActions } from "./rollouts/actions";
import { RolloutProgress } from "./rollouts/progress";
import "./policy/policy.css";

type Rollouts = WithKey<RolloutRow>[];

/** One policy: agents, document, versions, rollouts. */
export default function PolicyPage({ params: { name = "" } }: PageProps) {
  const org = organization.value;
  const fleet = useLive<AgentRow>("fleet", org);
  const rollouts = useLive<RolloutRow>("rollouts", org);
  fleet.version.value;
  rollouts.version.value;
  const moving = rollouts.list().filter(({ policy }) => policy === name);
  const isNew = query.value.has("new"); // a new policy is not on the server yet
  const path = organizationPath(`policies/${name}`);
  const result = useGet<Policy>(isNew ? null : path);
  const versions = useGet<PolicyVersion[]>(isNew ? null : `${path}/versions`, {
    limit: MAX_VERSIONS,
  });
  const reload = () => {
    result.reload();
    versions.reload();
  };
  useReloadOn(result, moving.map(row => row.key + row.state).join());
  if (isNew && hasRole("operator")) return <NewPolicy name={name} />;
  if (result.error?.code === "not_found" && !result.data) return <MissingPolicy name={name} />;
  const error = result.error ?? versions.error ?? fleet.error.value;
  if (error && !(result.data && versions.data))
    return <ErrorState error={error} onRetry={reload} />;
  if (!result.data || !versions.data) return <Loading label={`Loading ${name}`} />;
  return (
    <PolicyDetails
      policy={result.data}
      versions={versions.data}
      moving={moving}
      fleet={currentAgents(fleet)}
      freshness={fleet.freshness.value}
      reloading={result.loading || versions.loading}
      reload={reload}
    />
  );
}

const parentPage = () => ({ href: inOrganization("/policies"), title: "Policies" });

interface PolicyDetailsProps {
  policy: Policy;
  versions: PolicyVersion[];
  moving: Rollouts;
  fleet: Agent[];
  freshness: "loading" | "live" | "stale";
  /** Reloading after a save: the data may be outdated. */
  reloading: boolean;
  reload: () => void;
}

function PolicyDetails({
  policy,
  versions,
  moving,
  fleet,
  freshness,
  reloading,
  reload,
}: PolicyDetailsProps) {
  const [dialog, setDialog] = useState<"start" | "point" | null>(null);
  const agents = targetedAgents(fleet, policy.targets);
  const open = openRollout(moving, policy.name);
  const close = () => setDialog(null);
  return (
    <Page
      title={policy.name}
      parent={parentPage()}
      state={<LiveIndicator />}
      actions={
        hasRole("operator") && (
          <>
            <Button onClick={() => setDialog("point")}>Edit targets…</Button>
            <Button
              kind="primary"
              disabled={!!open || reloading || !policy.targets.length}
              onClick={() => setDialog("start")}
            >
              Roll out…
            </Button>
          </>
        )
      }
    >
      <div class="stack">
        <StaleNotice freshness={freshness} />
        {open && <CurrentRollout row={open} />}
        <PolicyStats policy={policy} agents={agents} />
        <Tabs label="Policy" tabs={tabs({ policy, versions, moving, agents, reload })} />
      </div>
      {dialog === "point" && (
        <TargetsDialog policy={policy} agents={fleet} onClose={close} onSaved={reload} />
      )}
      {dialog === "start" && (
        <RolloutDialog
          policy={policy}
          versions={versions}
          total={agents.length}
          onClose={close}
          onStarted={reload}
        />
      )}
    </Page>
  );
}

function CurrentRollout({ row }: { row: WithKey<RolloutRow> }) {
  return (
    <Card
      title={`Rollout of version ${row.version}`}
      aside={<StatusBadge status={row.state} filled />}
    >
      <div class="stack">
        <RolloutProgress row={row} />
        <RolloutActions row={row} />
      </div>
    </Card>
  );
}

function PolicyStats({ policy, agents }: { policy: Policy; agents: readonly Agent[] }) {
  const { head, stable, targets } = policy;
  const failed = agents.filter(row => row.policy === "failed").length;
  return (
    <StatRow>
      <Stat
        label="In use"
        value={stable ? `Version ${stable}` : "None"}
        note={head === stable ? "Newest version" : `Newest: version ${head}`}
      />
      <Stat
        label="Targets"
        value={pluralize(agents.length, "agent")}
        note={describeTargets(targets)}
      />
      <Stat
        label={<StatusBadge status="applied" />}
        value={agents.filter(row => row.policy === "applied").length}
        note="agents with the expected bundle"
      />
      <Stat
        label={<StatusBadge status="failed" />}
        value={failed}
        note={failed ? "see the Agents tab for reasons" : "no agents"}
      />
    </StatRow>
  );
}

type TabsProps = Pick<PolicyDetailsProps, "policy" | "versions" | "moving" | "reload"> & {
  agents: Agent[];
};

function tabs({ policy, versions, moving, agents, reload }: TabsProps): Tab[] {
  const newest = versions[0] ?? null;
  const inUse = versions.find(({ version }) => version === policy.stable);
  const document = inUse ?? newest;
  const written = () => {
    reload();
    navigate(inOrganization(`/policies/${policy.name}?tab=versions`));
  };
  const result: (Tab | false)[] = [
    {
      name: "agents",
      title: "Agents",
      content: () => <PolicyAgents policy={policy} agents={agents} />,
    },
    {
      name: "document",
      title: "Document",
      content: () =>
        document && (
          <Card title={inUse ? `Version ${inUse.version} (in use)` : "Not in use yet"}>
            <CodeBlock
              label={`Version ${document.version}`}
              text={formatPolicy(document.document)}
            />
          </Card>
        ),
    },
    hasRole("operator") && {
      name: "write",
      title: "Edit",
      content: () => (
        <VersionEditor key={newest?.version} name={policy.name} newest={newest} onSaved={written} />
      ),
    },
    {
      name: "versions",
      title: "Versions",
      content: () => <PolicyVersions key={newest?.version} policy={policy} versions={versions} />,
    },
    {
      name: "rollouts",
      title: "Rollouts",
      content: () => <FinishedRollouts rows={moving} />,
    },
  ];
  return result.filter(tab => tab !== false);
}

/** The editor for the first version. */
function NewPolicy({ name }: { name: string }) {
  const written = () => navigate(inOrganization(`/policies/${name}`), { replace: true });
  return (
    <Page title={name} parent={parentPage()}>
      <VersionEditor name={name} newest={null} onSaved={written} />
    </Page>
  );
}

function MissingPolicy({ name }: { name: string }) {
  return (
    <Page title={name} parent={parentPage()}>
      <EmptyState icon="policy" title="Policy not found">
        {hasRole("operator") && <a href={inOrganization(`/policies/${name}?new=1`)}>Create it</a>}
      </EmptyState>
    </Page>
  );
}
