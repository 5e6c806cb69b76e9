import { useState } from "preact/hooks";
import { get } from "../../lib/api";
import type { Collection, Keyed } from "../../lib/collection";
import { ofOrganization } from "../../lib/session";
import type { AlertRow } from "../../lib/types";
import { type Filter, type Older, queryOf, rowOf, together } from "./rows";

type Row = Keyed<AlertRow>;

/** Of the live feed (docs/spec/live.md): where there are fewer, there are no older ones. */
const NEWEST = 200;
const PAGE = 100;

interface Read {
  /** What was asked for. */
  of: string;
  rows: readonly Row[];
  /** The id of the last one. */
  last: string;
  isEnd: boolean;
}

const NONE: Read = { of: "", rows: [], last: "", isEnd: false };

interface Everything {
  rows: Row[];
  /** Whether there may be more. */
  more: boolean;
  /** Ask for them. Throws `ApiError`. */
  load: () => Promise<void>;
  /** One of them is another now, as after it was acknowledged. */
  changed: (row: Row) => void;
}

/**
 * What the live feed has, and older ones page by page, narrowed by the server: with another filter they
 * are asked for anew.
 */
export function useOlder(live: Collection<AlertRow>, filter: Filter): Everything {
  const [read, setRead] = useState(NONE);
  const of = ofOrganization(JSON.stringify(filter));
  const now = read.of === of ? read : { ...NONE, of };
  const newest = live.list();
  const load = async () => {
    const known = together(newest, now.rows); // what the feed lets go meanwhile stays
    let { last } = now;
    let rows = known;
    for (let isEnd = false; !isEnd && rows.length === known.length; ) {
      // The feed has what is open beside the newest: behind those there are gaps. One second more:
      // several of one second may lie on both sides.
      const end = known[Math.min(known.length, NEWEST) - 1];
      const from = last ? { after: last } : { before: (end?.at ?? 0) + 1 };
      const query = { ...queryOf(filter), ...from, limit: PAGE };
      const found = await get<Older[]>(ofOrganization("alerts"), { query });
      rows = together(known, found.map(rowOf));
      last = found.at(-1)?.id ?? last;
      isEnd = found.length < PAGE;
      setRead({ of, rows, last, isEnd });
    }
  };
  const changed = (row: Row) =>
    setRead(last => ({ ...last, rows: last.rows.map(one => (one.key === row.key ? row : one)) }));
  const more = !now.isEnd && newest.length >= NEWEST;
  return { rows: together(newest, now.rows), more, load, changed };
}
