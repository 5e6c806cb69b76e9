import { useState } from "preact/hooks";
import { get } from "../../../lib/api";
import type { AlertRow } from "../../../lib/api-types";
import type { Collection, WithKey } from "../../../lib/collection";
import { organizationPath } from "../../../lib/session";
import { type Alert, type AlertFilter, alertQuery, alertRow, mergeAlerts } from "./alert-rows";

type Row = WithKey<AlertRow>;

/** Of the live feed (docs/spec/live.md): where there are fewer, there are no older ones. */
const LIVE_ROWS = 200;
const PAGE_SIZE = 100;

interface OlderPages {
  /** What was asked for. */
  of: string;
  rows: readonly Row[];
  /** The id of the last one. */
  last: string;
  isEnd: boolean;
}

const NO_OLDER_PAGES: OlderPages = { of: "", rows: [], last: "", isEnd: false };

interface AlertHistory {
  rows: Row[];
  /** Whether there may be more. */
  more: boolean;
  /** Ask for them. Throws `ApiError`. */
  load: () => Promise<void>;
  /** One of them is another now, as after it was acknowledged. */
  replace: (row: Row) => void;
}

/**
 * What the live feed has, and older ones page by page, narrowed by the server: with another filter they
 * are asked for anew.
 */
export function useAlertHistory(live: Collection<AlertRow>, filter: AlertFilter): AlertHistory {
  const [read, setRead] = useState(NO_OLDER_PAGES);
  const of = organizationPath(JSON.stringify(filter));
  const now = read.of === of ? read : { ...NO_OLDER_PAGES, of };
  const newest = live.list();
  const load = async () => {
    const known = mergeAlerts(newest, now.rows); // what the feed lets go meanwhile stays
    let { last } = now;
    let rows = known;
    for (let isEnd = false; !isEnd && rows.length === known.length; ) {
      // The feed has what is open beside the newest: behind those there are gaps. One second more:
      // several of one second may lie on both sides.
      const end = known[Math.min(known.length, LIVE_ROWS) - 1];
      const from = last ? { after: last } : { before: (end?.at ?? 0) + 1 };
      const query = { ...alertQuery(filter), ...from, limit: PAGE_SIZE };
      const result = await get<Alert[]>(organizationPath("alerts"), { query });
      rows = mergeAlerts(known, result.map(alertRow));
      last = result.at(-1)?.id ?? last;
      isEnd = result.length < PAGE_SIZE;
      setRead({ of, rows, last, isEnd });
    }
  };
  const replace = (row: Row) =>
    setRead(last => ({ ...last, rows: last.rows.map(one => (one.key === row.key ? row : one)) }));
  const more = !now.isEnd && newest.length >= LIVE_ROWS;
  return { rows: mergeAlerts(newest, now.rows), more, load, replace };
}
