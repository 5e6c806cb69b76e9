import type { Instant } from "../lib/format";
import type { Column } from "./table";
import { RelativeTime } from "./time";

interface TimeColumnOptions {
  wideOnly?: boolean;
  sortable?: boolean;
}

/** A table column of relative times. */
export function timeColumn<Row>(
  name: string,
  title: string,
  at: (row: Row) => Instant,
  { wideOnly = false, sortable = false }: TimeColumnOptions = {},
): Column<Row> {
  return {
    name,
    title,
    width: "7rem",
    numeric: true,
    wideOnly,
    cell: row => <RelativeTime at={at(row)} />,
    ...(sortable ? { sortBy: at } : {}),
  };
}
