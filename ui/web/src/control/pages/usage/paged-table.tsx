import type { ComponentChildren } from "preact";
import { Card } from "../../../components/card";
import { usePagination } from "../../../components/pagination";
import { type Column, Table } from "../../../components/table";
import { get } from "../../../lib/api";
import { pluralize } from "../../../lib/format";
import type { PageOf } from "./api-types";

interface PagedTableProps<Row> {
  title: string;
  /** Shown beside the row count. */
  aside: ComponentChildren;
  path: string;
  params: Record<string, string | number>;
  first: PageOf<Row>;
  columns: readonly Column<Row>[];
  keyOf: (row: Row) => string;
  empty: ComponentChildren;
}

/** A table that loads its rows page by page. */
export function PagedTable<Row>(props: PagedTableProps<Row>) {
  const { title, aside, path, params, first, columns, keyOf, empty } = props;
  const { rows, suffix, loadMore } = usePagination(first, after =>
    get<PageOf<Row>>(path, { query: { ...params, after } }),
  );
  return (
    <Card
      title={title}
      flush
      aside={
        <span class="line">
          {pluralize(rows.length, "row")}
          {suffix}
          {aside}
        </span>
      }
    >
      <Table label={title} columns={columns} rows={rows} keyOf={keyOf} empty={empty} />
      {loadMore}
    </Card>
  );
}
