import type { ReadonlySignal } from "@preact/signals";
import { Card } from "../../../components/card";
import { BarList } from "../../../components/progress";
import { formatCount } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { inOrganization } from "../../../lib/session";
import { type FleetSummary, rankByCount } from "./agent-rows";

const MAX_GROUPS = 6;

/** Number of agents by version and by tag. A click filters the table. */
export function AgentGroups(props: { summary: ReadonlySignal<FleetSummary> }) {
  const summary = props.summary.value;
  return (
    <>
      <GroupCard
        title="By version"
        field="version"
        counts={summary.versions}
        total={summary.total}
      />
      <GroupCard title="By tag" field="tag" counts={summary.tags} total={summary.total} />
    </>
  );
}

/** Counts of one organization, without retired agents. */
interface OrganizationTally {
  organization: string;
  agents: number;
  online: number;
}

/** The largest organizations, for super-admins. Not live. */
export function LargestOrganizations() {
  const result = useGet<OrganizationTally[]>("tallies", { limit: MAX_GROUPS });
  if (!result.data?.length) return null;
  return (
    <Card title="By organization">
      <BarList
        total={result.data[0]?.agents ?? 0}
        bars={result.data.map(({ organization, agents, online }) => ({
          name: organization,
          value: agents,
          label: (
            <>
              <a href={`/?org=${organization}`}>{organization}</a>{" "}
              <span class="muted">{formatCount(online)} online</span>
            </>
          ),
        }))}
      />
    </Card>
  );
}

interface GroupCardProps {
  title: string;
  field: string;
  counts: Record<string, number>;
  total: number;
}

function GroupCard({ title, field, counts, total }: GroupCardProps) {
  const all = rankByCount(counts);
  if (!all.length) return null;
  const aside = all.length > MAX_GROUPS ? `${MAX_GROUPS} of ${all.length}` : undefined;
  return (
    <Card title={title} aside={aside}>
      <BarList
        total={total}
        bars={all.slice(0, MAX_GROUPS).map(([name, value]) => ({
          name,
          value,
          label: <a href={inOrganization(`/?${field}=${encodeURIComponent(name)}`)}>{name}</a>,
        }))}
      />
    </Card>
  );
}
