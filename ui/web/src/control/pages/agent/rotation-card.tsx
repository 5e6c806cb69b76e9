import { RotationBadge } from "../../../components/badge";
import { Card, DescriptionList } from "../../../components/card";
import { RelativeTime } from "../../../components/time";
import type { AgentSections } from "../../../lib/api-types";
import { formatCount, pluralize } from "../../../lib/format";

/** The rotations and leases of an agent's vault, counted. */
export function RotationCard({ rotation }: Partial<Pick<AgentSections, "rotation">>) {
  if (!rotation?.state)
    return (
      <Card title="Rotations">
        <p class="muted">Not reported yet.</p>
      </Card>
    );
  const { state, overdue, stuck } = rotation;
  return (
    <Card title="Rotations" aside={<RotationBadge state={state} owed={overdue + stuck} />}>
      {rotationFacts(rotation)}
    </Card>
  );
}

function rotationFacts(row: AgentSections["rotation"]) {
  return (
    <DescriptionList
      rows={[
        ["With a policy", pluralize(row.policies, "secret")],
        ["Without a policy", pluralize(row.unmanaged, "secret")],
        ["Due within a day", formatCount(row.due)],
        ["Overdue", formatCount(row.overdue)],
        [
          "Overdue since",
          row.overdue_since ? <RelativeTime at={row.overdue_since} key="since" /> : "–",
        ],
        ["Running", formatCount(row.running)],
        ["Waiting for adoption", formatCount(row.waiting)],
        ["Applications lag", formatCount(row.lagging)],
        ["Failing", formatCount(row.failing)],
        ["Stuck", formatCount(row.stuck)],
        [
          "Rotated",
          `${formatCount(row.rotated_day)} in 24 h, ${formatCount(row.rotated_month)} in 30 d`,
        ],
        ["Leases", leaseNote(row)],
      ]}
    />
  );
}

function leaseNote(row: AgentSections["rotation"]): string {
  const { leases, revoking, irrevocable, unrenewed } = row;
  const parts = [`${formatCount(leases)} active`];
  if (revoking) parts.push(`${formatCount(revoking)} revoking`);
  if (irrevocable) parts.push(`${formatCount(irrevocable)} irrevocable`);
  if (unrenewed) parts.push(`${pluralize(unrenewed, "client")} without renewals`);
  return parts.join(", ");
}
