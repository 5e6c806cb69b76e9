import type { Instant } from "../lib/format";
import type { Column } from "./table";
import { RelativeTime } from "./time";

interface TimeColumnOptions {
  /** As in `Column`. */
  wideOnly?: boolean;
  /** Whether a press on its head sorts by it. */
  sortable?: boolean;
}

/** A column of a table that says how long ago something was, or when it will be. */
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
