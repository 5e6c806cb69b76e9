/** Sorts the rows of a table and selects those to draw. Pure. */

export type SortValue = string | number | null | undefined;

export interface SortOrder {
  column: string;
  descending: boolean;
}

/** A sorted copy. Missing values (null, NaN) come last in both directions. Stable. */
export function sortRows<Row>(
  rows: readonly Row[],
  value: (row: Row) => SortValue,
  descending: boolean,
): Row[] {
  const keyed = rows.map(row => ({ row, key: value(row) }));
  keyed.sort((a, b) => compare(a.key, b.key, descending ? -1 : 1));
  return keyed.map(({ row }) => row);
}

/** The sort order after a click on a column header. */
export function nextOrder(order: SortOrder | null, column: string): SortOrder {
  return { column, descending: order?.column === column && !order.descending };
}

function compare(a: SortValue, b: SortValue, sign: number): number {
  const [noA, noB] = [isMissing(a), isMissing(b)];
  if (noA || noB) return Number(noA) - Number(noB);
  if (typeof a === "number" && typeof b === "number") return (a - b) * sign;
  if (a === b) return 0;
  return String(a) < String(b) ? -sign : sign; // by code unit: a collator takes ten times as long
}

function isMissing(value: SortValue): boolean {
  return value == null || Number.isNaN(value);
}

/** The rows to draw. */

export interface RowRange {
  /** Index of the first row, and of the row after the last. */
  first: number;
  end: number;
}

const OVERSCAN = 8; // rows above and below the viewport, so that scrolling shows no gap

/** The rows in view: `total` rows of `height` pixels, a viewport of `view` pixels at `top`. */
export function visibleRows(total: number, height: number, top: number, view: number): RowRange {
  const first = Math.max(0, Math.floor(top / height) - OVERSCAN);
  const end = Math.min(total, Math.ceil((top + view) / height) + OVERSCAN);
  return { first: Math.min(first, Math.max(0, total - 1)), end: Math.max(end, 0) };
}

/**
 * The scroll position that shows row `index` below a header of `head` pixels. Null if it is in
 * view.
 */
export function scrollToShow(
  index: number,
  height: number,
  top: number,
  view: number,
  head: number,
): number | null {
  const begins = index * height;
  if (begins < top) return begins;
  if (begins + height > top + view - head) return begins + height - view + head;
  return null;
}
