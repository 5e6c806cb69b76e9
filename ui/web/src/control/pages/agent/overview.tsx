import type { ComponentChildren } from "preact";
import { BackupBadge, PolicyStatusBadge, StatusBadge, TagList } from "../../../components/badge";
import { Card, DescriptionList } from "../../../components/card";
import { CopyButton } from "../../../components/copy-button";
import { RelativeTime } from "../../../components/time";
import type { AgentSections } from "../../../lib/api-types";
import { formatCount, formatDuration, humanize, pluralize } from "../../../lib/format";
import { hasRole, inOrganization } from "../../../lib/session";
import { AcceptLogAction } from "./actions";
import { RotationCard } from "./rotation-card";

/** Display names that `humanize` would get wrong. */
const PROPER_NAMES: Record<string, string> = {
  sqlite: "SQLite",
  postgresql: "PostgreSQL",
  mysql: "MySQL",
  pkcs11: "PKCS #11 device",
  linux_amd64: "Linux, amd64",
  linux_arm64: "Linux, arm64",
  shamir: "Key shares (Shamir)",
  file: "File",
  cloud: "Cloud KMS",
};

type Sections = Partial<AgentSections>;

/** A card for each section that the agent reports. */
export function AgentOverview({
  vault,
  agent,
  link,
  policies,
  certificate,
  audit,
  backup,
  rotation,
}: Sections & { vault: string }) {
  return (
    <div class="masonry">
      {agent && <Card title="Agent">{agentFacts(agent)}</Card>}
      <Card
        title="Link"
        aside={
          <StatusBadge
            status={link?.connected ? "online" : "offline"}
            label={link?.connected ? "Connected" : "Not connected"}
          />
        }
      >
        {link ? linkFacts(link) : <NotReported />}
      </Card>
      <Card
        title="Policies"
        aside={policies?.policy && <PolicyStatusBadge status={policies.policy} />}
      >
        {policies?.policy ? policyFacts(policies) : <NotReported>No policies.</NotReported>}
      </Card>
      <Card
        title="Certificate"
        aside={certificate?.standing && <StatusBadge status={certificate.standing} />}
      >
        {certificate ? (
          certificateFacts(certificate)
        ) : (
          <NotReported>No certificate yet.</NotReported>
        )}
      </Card>
      <Card
        title="Backups"
        aside={backup?.state && <BackupBadge state={backup.state} certified={backup.certified} />}
      >
        {backup?.state ? backupFacts(backup) : <NotReported />}
      </Card>
      <RotationCard rotation={rotation} />
      <Card
        title="Audit log witness"
        aside={
          <span class="line">
            {audit && witnessBadge(audit)}
            {(audit?.fault || audit?.disputed) && <AcceptLogAction vault={vault} />}
            {hasRole("admin") && (
              <a href={inOrganization(`/audit?target=${vault}`)}>Show in audit log</a>
            )}
          </span>
        }
      >
        {audit?.size ? auditFacts(audit) : <NotReported>Nothing cosigned yet.</NotReported>}
      </Card>
    </div>
  );
}

function agentFacts(row: AgentSections["agent"]) {
  return (
    <DescriptionList
      rows={[
        ["Lifecycle", <StatusBadge status={row.life} key="life" />],
        ...(row.reason ? [["Reason", row.reason] as [string, ComponentChildren]] : []),
        ["Tags", row.tags.length ? <TagList tags={row.tags} max={6} /> : "–"],
        ["Version", row.version || "–"],
        ["Platform", properName(row.platform)],
        ["Storage", properName(row.backend)],
        ["Root key", properName(row.key_holder)],
        ["Started", <RelativeTime at={row.started} key="started" />],
        ["Registered", <RelativeTime at={row.created} key="created" />],
      ]}
    />
  );
}

function linkFacts(row: AgentSections["link"]) {
  return (
    <DescriptionList
      rows={[
        [
          row.connected ? "Connected since" : "Connected until",
          <RelativeTime at={row.since} key="since" />,
        ],
        ["Health", row.health ? <StatusBadge status={row.health} /> : "–"],
        ["Reported state", humanize(row.sync ?? "") || "–"],
        ["Sent", `${formatCount(row.acknowledged)} of ${formatCount(row.newest)} acknowledged`],
        ["Received", formatCount(row.received)],
      ]}
    />
  );
}

function policyFacts(row: AgentSections["policies"]) {
  return (
    <DescriptionList
      rows={[
        ["Bundle", `${row.applied || "none"} applied, ${row.wanted} expected`],
        ...(row.why ? [["Reason", humanize(row.why)] as [string, ComponentChildren]] : []),
        ["Changed", <RelativeTime at={row.changed} key="changed" />],
        [
          "Policies",
          <ul key="contents">
            {Object.entries(row.contents).map(([name, version]) => (
              <li key={name}>
                <a href={inOrganization(`/policies/${name}`)}>{name}</a>{" "}
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
    <DescriptionList
      rows={[
        ["Generation", formatCount(row.generation)],
        ["Serial", <code key="serial">{row.serial}</code>],
        ["Valid from", <RelativeTime at={row.not_before} key="since" />],
        ["Renews", <RelativeTime at={row.renew_at} key="renews" />],
        ["Expires", <RelativeTime at={row.not_after} key="expires" />],
      ]}
    />
  );
}

function backupFacts(row: AgentSections["backup"]) {
  const { certificate } = row;
  return (
    <DescriptionList
      rows={[
        ["Newest", row.newest ? <RelativeTime at={row.newest} key="newest" /> : "Never"],
        ["Newest proven", row.proven ? <RelativeTime at={row.proven} key="proven" /> : "Never"],
        ["Kept", pluralize(row.count, "backup")],
        ["Restore time", certificate ? formatDuration(row.rto) : "–"],
        ["Data loss", certificate ? formatDuration(row.rpo) : "–"],
        [
          "Certificate",
          certificate ? (
            <span class="line" key="certificate">
              <code>{certificate.slice(0, 16)}…</code>
              <CopyButton text={certificate} label="Copy the certificate's hash" />
            </span>
          ) : (
            "None"
          ),
        ],
      ]}
    />
  );
}

function auditFacts(row: AgentSections["audit"]) {
  return (
    <DescriptionList
      rows={[
        ["Cosigned up to", `record ${formatCount(row.size)}`],
        ["Cosigned", <RelativeTime at={row.at} key="at" />],
        [
          "Root",
          <span class="line" key="root">
            <code>{row.root.slice(0, 16)}…</code>
            <CopyButton text={row.root} label="Copy the root" />
          </span>,
        ],
      ]}
    />
  );
}

function witnessBadge({ fault, disputed, size }: AgentSections["audit"]) {
  if (fault) return <StatusBadge status={fault} />;
  if (disputed) return <StatusBadge status="fork" label="Disputed" />;
  return size ? <StatusBadge status="ok" label="Consistent" /> : null;
}

function NotReported({ children = "Nothing reported yet." }: { children?: ComponentChildren }) {
  return <p class="muted">{children}</p>;
}

function properName(name: string | null | undefined): string {
  return name ? (PROPER_NAMES[name] ?? humanize(name)) : "–";
}
