import { useState } from "preact/hooks";
import type { Keyed } from "../lib/collection";
import { shown } from "../lib/draft";
import { plural } from "../lib/format";
import { useAnew, useGet, useLive } from "../lib/hooks";
import { navigate, type PageProps, query } from "../lib/router";
import { may, ofOrganization, organization, within } from "../lib/session";
import type { AgentRow, Policy, PolicyVersion, RolloutRow } from "../lib/types";
import { State } from "../parts/badge";
import { Button } from "../parts/button";
import { Card, Figure, Figures } from "../parts/card";
import { Code } from "../parts/code";
import { LinkState } from "../parts/linkstate";
import { Page } from "../parts/page";
import { Empty, Failure, Loading, Stale } from "../parts/states";
import { type Tab, Tabs } from "../parts/tabs";
import { type Listed, listed } from "./fleet/rows";
import { Agents } from "./policy/agents";
import { Point } from "./policy/point";
import { Start } from "./policy/start";
import { openRollout, targeted, told } from "./policy/targets";
import { MOST, Versions } from "./policy/versions";
import { Write } from "./policy/write";
import { Past } from "./rollouts";
import { RolloutActions } from "./rollouts/actions";
import { Course } from "./rollouts/row";
import "./policy/policy.css";

type Moving = Keyed<RolloutRow>[];

/** One policy: what it says, whom it is for, how it gets there. */
export default function PolicyPage({ params: { name = "" } }: PageProps) {
  const org = organization.value;
  const fleet = useLive<AgentRow>("fleet", org);
  const rollouts = useLive<RolloutRow>("rollouts", org);
  fleet.version.value;
  rollouts.version.value;
  const moving = rollouts.list().filter(({ policy }) => policy === name);
  const isNew = query.value.has("new"); // then there is nothing to ask for yet
  const path = ofOrganization(`policies/${name}`);
  const found = useGet<Policy>(isNew ? null : path);
  const versions = useGet<PolicyVersion[]>(isNew ? null : `${path}/versions`, { limit: MOST });
  const reload = () => {
    found.reload();
    versions.reload();
  };
  useAnew(found, moving.map(row => row.key + row.state).join());
  if (isNew && may("operator")) return <New name={name} />;
  if (found.error?.code === "not_found" && !found.data) return <Missing name={name} />;
  const error = found.error ?? versions.error ?? fleet.error.value;
  if (error && !(found.data && versions.data)) return <Failure error={error} retry={reload} />;
  if (!found.data || !versions.data) return <Loading what={`Loading ${name}`} />;
  return (
    <One
      policy={found.data}
      versions={versions.data}
      moving={moving}
      fleet={listed(fleet)}
      freshness={fleet.freshness.value}
      arriving={found.loading || versions.loading}
      reload={reload}
    />
  );
}

const above = () => ({ href: within("/policies"), title: "Policies" });

interface OneProps {
  policy: Policy;
  versions: PolicyVersion[];
  moving: Moving;
  fleet: Listed[];
  freshness: "loading" | "live" | "stale";
  /** Asked for again, as after a version was saved: what is here may not be the newest. */
  arriving: boolean;
  reload: () => void;
}

function One({ policy, versions, moving, fleet, freshness, arriving, reload }: OneProps) {
  const [asks, setAsks] = useState<"start" | "point" | null>(null);
  const agents = targeted(fleet, policy.targets);
  const open = openRollout(moving, policy.name);
  const close = () => setAsks(null);
  return (
    <Page
      title={policy.name}
      above={above()}
      state={<LinkState />}
      actions={
        may("operator") && (
          <>
            <Button onClick={() => setAsks("point")}>Whom it is for…</Button>
            <Button kind="primary" disabled={!!open || arriving} onClick={() => setAsks("start")}>
              Roll out…
            </Button>
          </>
        )
      }
    >
      <div class="stack">
        <Stale freshness={freshness} />
        {open && <Open row={open} />}
        <Now policy={policy} agents={agents} />
        <Tabs label="About this policy" tabs={tabs({ policy, versions, moving, agents, reload })} />
      </div>
      {asks === "point" && <Point policy={policy} agents={fleet} close={close} pointed={reload} />}
      {asks === "start" && (
        <Start
          policy={policy}
          versions={versions}
          total={agents.length}
          close={close}
          started={reload}
        />
      )}
    </Page>
  );
}

function Open({ row }: { row: Keyed<RolloutRow> }) {
  return (
    <Card title={`Version ${row.version} on its way`} aside={<State of={row.state} filled />}>
      <div class="stack">
        <Course row={row} />
        <RolloutActions row={row} />
      </div>
    </Card>
  );
}

function Now({ policy, agents }: { policy: Policy; agents: readonly Listed[] }) {
  const { head, stable, targets } = policy;
  const failed = agents.filter(row => row.policy === "failed").length;
  return (
    <Figures>
      <Figure
        label="In use"
        value={stable ? `Version ${stable}` : "None"}
        note={head === stable ? "the newest" : `version ${head} is the newest`}
      />
      <Figure label="For" value={plural(agents.length, "agent")} note={told(targets)} />
      <Figure
        label={<State of="applied" />}
        value={agents.filter(row => row.policy === "applied").length}
        note="have the bundle that they should have"
      />
      <Figure
        label={<State of="failed" label="Refused" />}
        value={failed}
        note={failed ? "why: see the agents" : "no agent"}
      />
    </Figures>
  );
}

type TabsOf = Pick<OneProps, "policy" | "versions" | "moving" | "reload"> & { agents: Listed[] };

function tabs({ policy, versions, moving, agents, reload }: TabsOf): Tab[] {
  const newest = versions[0] ?? null;
  const inUse = versions.find(({ version }) => version === policy.stable);
  const document = inUse ?? newest;
  const written = () => {
    reload();
    navigate(within(`/policies/${policy.name}?tab=versions`));
  };
  const found: (Tab | false)[] = [
    {
      name: "agents",
      title: "Agents",
      content: () => <Agents policy={policy} agents={agents} />,
    },
    {
      name: "document",
      title: "Document",
      content: () =>
        document && (
          <Card title={inUse ? `Version ${inUse.version}, in use` : "Not in use yet"}>
            <Code label={`Version ${document.version}`} text={shown(document.document)} />
          </Card>
        ),
    },
    may("operator") && {
      name: "write",
      title: "Edit",
      content: () => (
        <Write key={newest?.version} name={policy.name} newest={newest} written={written} />
      ),
    },
    {
      name: "versions",
      title: "Versions",
      content: () => <Versions key={newest?.version} policy={policy} versions={versions} />,
    },
    {
      name: "rollouts",
      title: "Roll-outs",
      content: () => <Past rows={moving} />,
    },
  ];
  return found.filter(tab => tab !== false);
}

/** The first version is about to be written. */
function New({ name }: { name: string }) {
  const written = () => navigate(within(`/policies/${name}`), { replace: true });
  return (
    <Page title={name} above={above()}>
      <Write name={name} newest={null} written={written} />
    </Page>
  );
}

function Missing({ name }: { name: string }) {
  return (
    <Page title={name} above={above()}>
      <Empty icon="policy" title="There is no such policy">
        {may("operator") && <a href={within(`/policies/${name}?new=1`)}>Write it</a>}
      </Empty>
    </Page>
  );
}
