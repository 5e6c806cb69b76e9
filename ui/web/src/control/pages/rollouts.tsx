import { StatusBadge } from "../../components/badge";
import { Card } from "../../components/card";
import { LiveIndicator } from "../../components/live-indicator";
import { Page } from "../../components/page";
import { EmptyState, ErrorState, Loading, StaleNotice } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { RelativeTime } from "../../components/time";
import { timeColumn } from "../../components/time-column";
import type { Policy, RolloutRow } from "../../lib/api-types";
import type { WithKey } from "../../lib/collection";
import { pluralize } from "../../lib/format";
import { useGet, useLive, useReloadOn } from "../../lib/hooks";
import { navigate } from "../../lib/router";
import { inOrganization, organization, organizationPath } from "../../lib/session";
import { isOpenRollout, isRevocable, openRollout } from "./policy/targets";
import { RolloutActions } from "./rollouts/actions";
import { RolloutProgress } from "./rollouts/progress";

type Rollout = WithKey<RolloutRow>;

/** Open and recent rollouts. */
export default function Rollouts() {
  const live = useLive<RolloutRow>("rollouts", organization.value);
  live.version.value;
  if (live.error.value) return <ErrorState error={live.error.value} />;
  if (live.freshness.value === "loading") return <Loading label="Loading rollouts" />;
  const rows = live.list().sort((a, b) => b.created - a.created);
  const open = rows.filter(isOpenRollout);
  return (
    <Page title="Rollouts" state={<LiveIndicator />}>
      <div class="stack">
        <StaleNotice freshness={live.freshness.value} />
        {open.map(row => (
          <OpenRollout key={row.key} row={row} />
        ))}
        {!open.length && (
          <Card title="In progress">
            <p class="muted">
              No rollouts in progress. Start one from a{" "}
              <a href={inOrganization("/policies")}>policy</a>.
            </p>
          </Card>
        )}
        <FinishedRollouts rows={rows} />
      </div>
    </Page>
  );
}

function OpenRollout({ row }: { row: Rollout }) {
  return (
    <Card
      title={`${row.policy} version ${row.version}`}
      aside={<StatusBadge status={row.state} filled />}
    >
      <div class="stack">
        <RolloutProgress row={row} />
        <div class="line">
          <RolloutActions row={row} />
          <p class="muted">
            <a href={inOrganization(`/policies/${row.policy}`)}>{row.policy}</a>, started by{" "}
            {row.created_by} <RelativeTime at={row.created} />
          </p>
        </div>
      </div>
    </Card>
  );
}

const COLUMNS: Column<Rollout>[] = [
  {
    name: "state",
    title: "State",
    width: "8.5rem",
    cell: row => <StatusBadge status={row.state} />,
  },
  {
    name: "policy",
    title: "Policy",
    cell: row => <a href={inOrganization(`/policies/${row.policy}`)}>{row.policy}</a>,
    sortBy: row => row.policy,
  },
  {
    name: "version",
    title: "Version",
    width: "7rem",
    numeric: true,
    wideOnly: true,
    cell: row => `${row.previous || "–"} → ${row.version}`,
  },
  {
    name: "reason",
    title: "Reason",
    wideOnly: true,
    cell: row => <span title={row.reason}>{row.reason || "–"}</span>,
  },
  { name: "by", title: "Started by", width: "11rem", wideOnly: true, cell: row => row.created_by },
  timeColumn("changed", "Ended", row => row.changed, { sortable: true }),
];

/** The finished ones of `rows`. */
export function FinishedRollouts({ rows: all }: { rows: readonly Rollout[] }) {
  const rows = all.filter(row => !isOpenRollout(row));
  const policies = useGet<Policy[]>(organizationPath("policies"));
  useReloadOn(policies, rows.map(row => row.key + row.state).join());
  const stable = new Map(policies.data?.map(policy => [policy.name, policy]));
  const columns: Column<Rollout>[] = [
    ...COLUMNS,
    {
      name: "actions",
      title: "Actions",
      hideTitle: true,
      width: "8rem",
      numeric: true,
      wideOnly: true,
      cell: row => {
        const policy = stable.get(row.policy);
        const revocable = policy && isRevocable(row, policy) && !openRollout(all, row.policy);
        return revocable && <RolloutActions row={row} revocable />;
      },
    },
  ];
  return (
    <Card title="Finished" flush aside={pluralize(rows.length, "rollout")}>
      <Table
        label="Finished rollouts"
        columns={columns}
        rows={rows}
        keyOf={row => row.key}
        onOpen={row => navigate(inOrganization(`/policies/${row.policy}`))}
        empty={<EmptyState title="No finished rollouts yet" />}
      />
    </Card>
  );
}
