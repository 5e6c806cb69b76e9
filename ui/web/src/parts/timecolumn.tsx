import type { Instant } from "../lib/format";
import type { Column } from "./table";
import { TimeAgo } from "./time";

interface Told {
  /** As in `Column`. */
  wide?: boolean;
  /** Whether a press on its head sorts by it. */
  sorts?: boolean;
}

/** A column of a table that says how long ago something was, or when it will be. */
export function timeColumn<Row>(
  name: string,
  title: string,
  at: (row: Row) => Instant,
  { wide = false, sorts = false }: Told = {},
): Column<Row> {
  return {
    name,
    title,
    width: "7rem",
    number: true,
    wide,
    cell: row => <TimeAgo at={at(row)} />,
    ...(sorts ? { by: at } : {}),
  };
}
