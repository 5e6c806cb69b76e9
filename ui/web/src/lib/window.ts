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
