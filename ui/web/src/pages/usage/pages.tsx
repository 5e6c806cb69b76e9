import type { ComponentChildren } from "preact";
import { get } from "../../lib/api";
import { plural } from "../../lib/format";
import { Card } from "../../parts/card";
import { useParts } from "../../parts/more";
import { type Column, Table } from "../../parts/table";
import type { Paged } from "./wire";

interface PagesProps<Row> {
  title: string;
  /** Beside the count. */
  aside: ComponentChildren;
  path: string;
  asks: Record<string, string | number>;
  first: Paged<Row>;
  columns: readonly Column<Row>[];
  keyOf: (row: Row) => string;
  empty: ComponentChildren;
}

/** A list that comes by the page: the first, and more on demand. */
export function Pages<Row>(props: PagesProps<Row>) {
  const { title, aside, path, asks, first, columns, keyOf, empty } = props;
  const { rows, soFar, more } = useParts(first, after =>
    get<Paged<Row>>(path, { query: { ...asks, after } }),
  );
  return (
    <Card
      title={title}
      flush
      aside={
        <span class="line">
          {plural(rows.length, "row")}
          {soFar}
          {aside}
        </span>
      }
    >
      <Table label={title} columns={columns} rows={rows} keyOf={keyOf} empty={empty} />
      {more}
    </Card>
  );
}
