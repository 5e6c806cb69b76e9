import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button } from "./button";
import { showError } from "./toasts";

/** A part of a list; `next` says where the following one begins: empty or 0, and it is the last. */
export interface ListPage<Row, Next extends string | number> {
  rows: readonly Row[];
  next: Next;
}

interface Pagination<Row> {
  /** Of all parts so far. */
  rows: Row[];
  /** Behind the count of the rows: ` so far` while there are more. */
  suffix: string;
  /** What asks for the following part, while there is one. */
  loadMore: JSX.Element | null;
}

/** A list that comes in parts: the first, and another with each press on `more`. Asked for anew
 * (other rows in `first`), it begins again. */
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
