import { useState } from "preact/hooks";
import { get } from "../../../lib/api";
import type { AlertRow } from "../../../lib/api-types";
import type { Collection, WithKey } from "../../../lib/collection";
import { organizationPath } from "../../../lib/session";
import { type Alert, type AlertFilter, alertQuery, alertRow, mergeAlerts } from "./alert-rows";

type Row = WithKey<AlertRow>;

/** Rows of the live topic (docs/spec/live.md). With fewer rows there are no older alerts. */
const LIVE_ROWS = 200;
const PAGE_SIZE = 100;

interface OlderPages {
  /** Filter and organization that the pages belong to. */
  of: string;
  rows: readonly Row[];
  /** ID of the last loaded alert. */
  last: string;
  isEnd: boolean;
}

const NO_OLDER_PAGES: OlderPages = { of: "", rows: [], last: "", isEnd: false };

interface AlertHistory {
  rows: Row[];
  /** Whether there may be older alerts. */
  more: boolean;
  /** Load the next page. Throws `ApiError`. */
  load: () => Promise<void>;
  /** Replace an alert, for example after it was acknowledged. */
  replace: (row: Row) => void;
}

/** Live alerts followed by older pages from the server. A new filter starts over. */
export function useAlertHistory(live: Collection<AlertRow>, filter: AlertFilter): AlertHistory {
  const [read, setRead] = useState(NO_OLDER_PAGES);
  const of = organizationPath(JSON.stringify(filter));
  const now = read.of === of ? read : { ...NO_OLDER_PAGES, of };
  const newest = live.list();
  const load = async () => {
    const known = mergeAlerts(newest, now.rows); // keep alerts that the feed drops while the page loads
    let { last } = now;
    let rows = known;
    for (let isEnd = false; !isEnd && rows.length === known.length; ) {
      // The feed also has older alerts that are open, so there are gaps behind the newest rows.
      // Start one second later: alerts of one second may be on both sides.
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
