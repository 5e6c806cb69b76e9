import type { ComponentChildren } from "preact";
import { count, words } from "../../lib/format";
import { may, within } from "../../lib/session";
import type { AgentSections } from "../../lib/types";
import { PolicyState, State, Tags } from "../../parts/badge";
import { Card, Facts } from "../../parts/card";
import { Copy } from "../../parts/copy";
import { TimeAgo } from "../../parts/time";
import { AcceptLog } from "./life";

/** Names that are written in a way of their own. */
const PROPER: Record<string, string> = {
  sqlite: "SQLite",
  postgresql: "PostgreSQL",
  mysql: "MySQL",
  pkcs11: "a PKCS #11 device",
  linux_amd64: "Linux, amd64",
  linux_arm64: "Linux, arm64",
  shamir: "shares of several people",
  file: "a file",
  cloud: "a cloud's key service",
};

type Sections = Partial<AgentSections>;

/** What is known of an agent beside its figures, a card for each matter. */
export function About({
  vault,
  agent,
  link,
  policies,
  certificate,
  audit,
}: Sections & { vault: string }) {
  return (
    <div class="masonry">
      {agent && <Card title="Agent">{agentFacts(agent)}</Card>}
      <Card
        title="Link"
        aside={
          <State
            of={link?.connected ? "online" : "offline"}
            label={link?.connected ? "Connected" : "Not connected"}
          />
        }
      >
        {link ? linkFacts(link) : <Unheard />}
      </Card>
      <Card title="Policies" aside={policies?.policy && <PolicyState of={policies.policy} />}>
        {policies?.policy ? policyFacts(policies) : <Unheard>It has no policy.</Unheard>}
      </Card>
      <Card
        title="Certificate"
        aside={certificate?.standing && <State of={certificate.standing} />}
      >
        {certificate ? certificateFacts(certificate) : <Unheard>It has none yet.</Unheard>}
      </Card>
      <Card
        title="Audit witness"
        aside={
          <span class="line">
            {audit && witness(audit)}
            {(audit?.fault || audit?.disputed) && <AcceptLog vault={vault} />}
            {may("admin") && <a href={within(`/audit?target=${vault}`)}>On the trail</a>}
          </span>
        }
      >
        {audit?.size ? auditFacts(audit) : <Unheard>Nothing of its log is cosigned yet.</Unheard>}
      </Card>
    </div>
  );
}

function agentFacts(row: AgentSections["agent"]) {
  return (
    <Facts
      rows={[
        ["Life", <State of={row.life} key="life" />],
        ...(row.reason ? [["Because", row.reason] as [string, ComponentChildren]] : []),
        ["Tags", row.tags.length ? <Tags of={row.tags} most={6} /> : "–"],
        ["Version", row.version || "–"],
        ["Platform", proper(row.platform)],
        ["Stores in", proper(row.backend)],
        ["Root key in", proper(row.key_holder)],
        ["Started", <TimeAgo at={row.started} key="started" />],
        ["Known since", <TimeAgo at={row.created} key="created" />],
      ]}
    />
  );
}

function linkFacts(row: AgentSections["link"]) {
  return (
    <Facts
      rows={[
        [row.connected ? "Since" : "Until", <TimeAgo at={row.since} key="since" />],
        ["Health", row.health ? <State of={row.health} /> : "–"],
        ["Its own view", words(row.sync ?? "") || "–"],
        ["Sent", `${count(row.acknowledged)} of ${count(row.newest)} acknowledged`],
        ["Received", count(row.received)],
      ]}
    />
  );
}

function policyFacts(row: AgentSections["policies"]) {
  return (
    <Facts
      rows={[
        ["Bundle", `${row.applied || "none"} in force, ${row.wanted} wanted`],
        ...(row.why ? [["Why", words(row.why)] as [string, ComponentChildren]] : []),
        ["Changed", <TimeAgo at={row.changed} key="changed" />],
        [
          "Policies",
          <ul key="contents">
            {Object.entries(row.contents).map(([name, version]) => (
              <li key={name}>
                <a href={within(`/policies/${name}`)}>{name}</a>{" "}
                <span class="muted">version {version}</span>
              </li>
            ))}
          </ul>,
        ],
      ]}
    />
  );
}

function certificateFacts(row: AgentSections["certificate"]) {
  return (
    <Facts
      rows={[
        ["Generation", count(row.generation)],
        ["Serial", <code key="serial">{row.serial}</code>],
        ["Valid since", <TimeAgo at={row.not_before} key="since" />],
        ["Renews", <TimeAgo at={row.renew_at} key="renews" />],
        ["Expires", <TimeAgo at={row.not_after} key="expires" />],
      ]}
    />
  );
}

function auditFacts(row: AgentSections["audit"]) {
  return (
    <Facts
      rows={[
        ["Cosigned up to", `record ${count(row.size)}`],
        ["When", <TimeAgo at={row.at} key="at" />],
        [
          "Root",
          <span class="line" key="root">
            <code>{row.root.slice(0, 16)}…</code>
            <Copy text={row.root} label="Copy the root" />
          </span>,
        ],
      ]}
    />
  );
}

function witness({ fault, disputed, size }: AgentSections["audit"]) {
  if (fault) return <State of={fault} />;
  if (disputed) return <State of="fork" label="Disputed" />;
  return size ? <State of="ok" label="Consistent" /> : null;
}

function Unheard({ children = "It has said nothing yet." }: { children?: ComponentChildren }) {
  return <p class="muted">{children}</p>;
}

function proper(name: string | null | undefined): string {
  return name ? (PROPER[name] ?? words(name)) : "–";
}
