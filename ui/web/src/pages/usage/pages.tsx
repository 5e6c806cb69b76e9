import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { get } from "../../lib/api";
import { plural } from "../../lib/format";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { type Column, Table } from "../../parts/table";
import { toastError } from "../../parts/toasts";
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
  const [more, setMore] = useState<Row[]>([]);
  const [next, setNext] = useState(first.next);
  const rows = [...first.rows, ...more];
  const load = async () => {
    try {
      const page = await get<Paged<Row>>(path, { query: { ...asks, after: next } });
      setMore([...more, ...page.rows]);
      setNext(page.next);
    } catch (error) {
      toastError(error);
    }
  };
  return (
    <Card
      title={title}
      flush
      aside={
        <span class="line">
          {plural(rows.length, "row")}
          {next && " so far"}
          {aside}
        </span>
      }
    >
      <Table label={title} columns={columns} rows={rows} keyOf={keyOf} empty={empty} />
      {next && (
        <p>
          <Button onClick={load}>Load more</Button>
        </p>
      )}
    </Card>
  );
}
