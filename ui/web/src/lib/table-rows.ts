/** Sorting rows by what a column says of them. Pure. */

export type SortValue = string | number | null | undefined;

export interface SortOrder {
  column: string;
  descending: boolean;
}

/** A sorted copy. Nothing (null, NaN) comes last either way; equals keep the order they came in. */
export function sortRows<Row>(
  rows: readonly Row[],
  value: (row: Row) => SortValue,
  descending: boolean,
): Row[] {
  const keyed = rows.map(row => ({ row, key: value(row) }));
  keyed.sort((a, b) => compare(a.key, b.key, descending ? -1 : 1));
  return keyed.map(({ row }) => row);
}

/** What a press on a column's head makes of the order. */
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

/** Which rows of a long list are near enough to be drawn. Pure. */

export interface RowRange {
  /** First row drawn, and the one after the last. */
  first: number;
  end: number;
}

const OVERSCAN = 8; // rows above and below, so that scrolling meets no gap

/** Rows of `height` pixels, `total` of them, seen through `view` pixels from `top` on. */
export function visibleRows(total: number, height: number, top: number, view: number): RowRange {
  const first = Math.max(0, Math.floor(top / height) - OVERSCAN);
  const end = Math.min(total, Math.ceil((top + view) / height) + OVERSCAN);
  return { first: Math.min(first, Math.max(0, total - 1)), end: Math.max(end, 0) };
}

/** Where to scroll so that row `index` is seen below a head of `head` pixels; null: it is seen. */
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
