import type { ComponentChildren } from "preact";
import { Card } from "../../../components/card";
import { Select } from "../../../components/field";
import { type ListPage, usePagination } from "../../../components/pagination";
import { EmptyState } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { get } from "../../../lib/api";
import { pluralize } from "../../../lib/format";
import { navigate, setQuery } from "../../../lib/router";
import type { DueSecret, Rotation, RotationPage, RotationPlan } from "../../api-types";
import { rotationHref } from "../../rotation-states";
import { RotationBadge } from "../rotation/state-badge";

/** Which rotations a list shows: the query of its request. */
export type ListQuery = Record<string, string | number | boolean>;

const secretColumn = <Row extends { path: string }>(): Column<Row> => ({
  name: "path",
  title: "Secret",
  cell: ({ path }) => (
    <a href={rotationHref(path)} title={path}>
      {path}
    </a>
  ),
  sortBy: row => row.path,
});

const COLUMNS: Column<Rotation>[] = [
  secretColumn<Rotation>(),
  {
    name: "state",
    title: "State",
    width: "7.5rem",
    cell: row => <RotationBadge state={row.state} />,
    sortBy: row => row.state,
  },
  {
    name: "rotator",
    title: "Rotator",
    width: "8rem",
    wideOnly: true,
    cell: row => row.rotator,
    sortBy: row => row.rotator,
  },
  timeColumn("began", "Began", row => row.began_at, { sortable: true, wideOnly: true }),
  timeColumn("next", "Next step", row => row.next_at, { wideOnly: true }),
  {
    name: "error",
    title: "Error",
    width: "18rem",
    wideOnly: true,
    cell: row => <span title={row.error}>{row.error || "–"}</span>,
  },
];

interface RotationListProps {
  title: string;
  first: RotationPage;
  query: ListQuery;
  empty: string;
  /** A toolbar above the table. */
  children?: ComponentChildren;
}

/** A list of rotations, loaded page by page. */
export function RotationList({ title, first, query, empty, children }: RotationListProps) {
  const found = usePagination(rotationPage(first), async cursor =>
    rotationPage(await get<RotationPage>("rotations", { query: { ...query, cursor } })),
  );
  return (
    <Card title={title} flush aside={pluralize(found.rows.length, "rotation") + found.suffix}>
      {children}
      <Table
        label={title}
        columns={COLUMNS}
        rows={found.rows}
        keyOf={row => `${row.path} ${row.number}`}
        onOpen={({ path }) => navigate(rotationHref(path))}
        order={{ column: "began", descending: true }}
        height="22rem"
        empty={<EmptyState icon="rotate" title={empty} />}
      />
      {found.loadMore}
    </Card>
  );
}

function rotationPage({ rotations, cursor }: RotationPage): ListPage<Rotation, string> {
  return { rows: rotations, next: cursor };
}

const DUE_COLUMNS: Column<DueSecret>[] = [
  secretColumn<DueSecret>(),
  timeColumn("due", "Due", row => row.due_at, { sortable: true }),
];

/** The secrets that are due, soonest first. */
export function DueList({ first, query }: { first: RotationPlan; query: ListQuery }) {
  const found = usePagination(duePage(first), async cursor =>
    duePage(await get<RotationPlan>("rotations/plan", { query: { ...query, cursor } })),
  );
  return (
    <Card
      title="Due in the next 30 days"
      flush
      aside={pluralize(found.rows.length, "secret") + found.suffix}
    >
      <Table
        label="Due in the next 30 days"
        columns={DUE_COLUMNS}
        rows={found.rows}
        keyOf={({ path }) => path}
        onOpen={({ path }) => navigate(rotationHref(path))}
        order={{ column: "due", descending: false }}
        height="22rem"
        empty={<EmptyState icon="check" title="Nothing is due" />}
      />
      {found.loadMore}
    </Card>
  );
}

function duePage({ secrets, cursor }: RotationPlan): ListPage<DueSecret, string> {
  return { rows: secrets, next: cursor };
}

const ENDED = [
  ["", "Any state"],
  ["retired", "Retired"],
  ["undone", "Undone"],
  ["stuck", "Stuck"],
] as const;

/** The filter of the history. */
export function StateFilter({ value }: { value: string }) {
  return (
    <Select
      aria-label="State"
      value={value}
      onChange={state => setQuery({ state })}
      options={ENDED}
    />
  );
}
