import type { Keyed } from "../lib/collection";
import { plural } from "../lib/format";
import { useAnew, useGet, useLive } from "../lib/hooks";
import { navigate } from "../lib/router";
import { ofOrganization, organization, within } from "../lib/session";
import type { Policy, RolloutRow } from "../lib/types";
import { State } from "../parts/badge";
import { Card } from "../parts/card";
import { LinkState } from "../parts/linkstate";
import { Page } from "../parts/page";
import { Empty, Failure, Loading, Stale } from "../parts/states";
import { type Column, Table } from "../parts/table";
import { TimeAgo } from "../parts/time";
import { timeColumn } from "../parts/timecolumn";
import { isOpen, isStable, openRollout } from "./policy/targets";
import { RolloutActions } from "./rollouts/actions";
import { Course } from "./rollouts/row";

type Row = Keyed<RolloutRow>;

/** What is on its way to agents, and what was lately. */
export default function Rollouts() {
  const live = useLive<RolloutRow>("rollouts", organization.value);
  live.version.value;
  if (live.error.value) return <Failure error={live.error.value} />;
  if (live.freshness.value === "loading") return <Loading what="Loading roll-outs" />;
  const rows = live.list().sort((a, b) => b.created - a.created);
  const open = rows.filter(isOpen);
  return (
    <Page title="Roll-outs" state={<LinkState />}>
      <div class="stack">
        <Stale freshness={live.freshness.value} />
        {open.map(row => (
          <Open key={row.key} row={row} />
        ))}
        {!open.length && (
          <Card title="On their way">
            <p class="muted">
              Nothing is on its way. A roll-out begins at a <a href={within("/policies")}>policy</a>
              .
            </p>
          </Card>
        )}
        <Past rows={rows} />
      </div>
    </Page>
  );
}

function Open({ row }: { row: Row }) {
  return (
    <Card title={`${row.policy} version ${row.version}`} aside={<State of={row.state} filled />}>
      <div class="stack">
        <Course row={row} />
        <div class="line">
          <RolloutActions row={row} />
          <p class="muted">
            <a href={within(`/policies/${row.policy}`)}>{row.policy}</a> by {row.created_by},{" "}
            <TimeAgo at={row.created} />
          </p>
        </div>
      </div>
    </Card>
  );
}

const COLUMNS: Column<Row>[] = [
  { name: "state", title: "State", width: "8.5rem", cell: row => <State of={row.state} /> },
  {
    name: "policy",
    title: "Policy",
    cell: row => <a href={within(`/policies/${row.policy}`)}>{row.policy}</a>,
    by: row => row.policy,
  },
  {
    name: "version",
    title: "Version",
    width: "7rem",
    number: true,
    wide: true,
    cell: row => `${row.previous || "–"} → ${row.version}`,
  },
  {
    name: "reason",
    title: "Reason",
    wide: true,
    cell: row => <span title={row.reason}>{row.reason || "–"}</span>,
  },
  { name: "by", title: "By", width: "11rem", wide: true, cell: row => row.created_by },
  timeColumn("changed", "Ended", row => row.changed, { sorts: true }),
];

/** Those of all that are over. */
export function Past({ rows: all }: { rows: readonly Row[] }) {
  const rows = all.filter(row => !isOpen(row));
  const policies = useGet<Policy[]>(ofOrganization("policies"));
  useAnew(policies, rows.map(row => row.key + row.state).join());
  const stable = new Map(policies.data?.map(policy => [policy.name, policy]));
  const columns: Column<Row>[] = [
    ...COLUMNS,
    {
      name: "actions",
      title: "Actions",
      bare: true,
      width: "8rem",
      number: true,
      wide: true,
      cell: row => {
        const policy = stable.get(row.policy);
        const revocable = policy && isStable(row, policy) && !openRollout(all, row.policy);
        return revocable && <RolloutActions row={row} revocable />;
      },
    },
  ];
  return (
    <Card title="Over" flush aside={plural(rows.length, "roll-out")}>
      <Table
        label="Roll-outs that are over"
        columns={columns}
        rows={rows}
        keyOf={row => row.key}
        open={row => navigate(within(`/policies/${row.policy}`))}
        empty={<Empty title="None yet" />}
      />
    </Card>
  );
}
