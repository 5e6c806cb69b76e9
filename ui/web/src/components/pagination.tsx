import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button } from "./button";
import { showError } from "./toasts";

/** One page of a list. `next` is the cursor of the next page; empty or 0 on the last. */
export interface ListPage<Row, Next extends string | number> {
  rows: readonly Row[];
  next: Next;
}

interface Pagination<Row> {
  /** The rows of all loaded pages. */
  rows: Row[];
  /** Appended to the row count: ` so far` while there are more pages. */
  suffix: string;
  /** A button that loads the next page. Null after the last. */
  loadMore: JSX.Element | null;
}

/** Loads a list page by page. A new `first` page starts over. */
export function usePagination<Row, Next extends string | number>(
  first: ListPage<Row, Next>,
  ask: (next: Next) => Promise<ListPage<Row, Next>>,
): Pagination<Row> {
  const [read, setRead] = useState<{ after: readonly Row[]; parts: ListPage<Row, Next>[] }>();
  const [busy, setBusy] = useState(false);
  const later = read?.after === first.rows ? read.parts : [];
  const { next } = later.at(-1) ?? first;
  const load = async () => {
    setBusy(true);
    try {
      const part = await ask(next);
      setRead({ after: first.rows, parts: [...later, part] });
    } catch (error) {
      showError(error);
    }
    setBusy(false);
  };
  return {
    rows: [first, ...later].flatMap(({ rows }) => [...rows]),
    suffix: next ? " so far" : "",
    loadMore: next ? (
      <p>
        <Button busy={busy} onClick={load}>
          Load more
        </Button>
      </p>
    ) : null,
  };
}
