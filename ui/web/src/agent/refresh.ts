import { useEffect, useRef } from "preact/hooks";
import type { Query } from "../lib/hooks";

const SHORTEST = 1_000; // milliseconds; each look is a record on the audit log
const LONGEST = 60_000; // between looks at what should have changed by now
const FURTHEST = 86_400_000; // a timer holds 24 days at most

/**
 * Reloads queries when the next of these times has come: often while what they return changes, less
 * and less often while it does not. Never while the page is hidden, nor without a time.
 */
export function useRefreshAt(queries: readonly Query<unknown>[], times: (string | null)[]): void {
  const last = useRef({ shown: "", wait: SHORTEST });
  const next = Math.min(...times.flatMap(time => (time ? [Date.parse(time)] : [])));
  const shown = JSON.stringify(queries.map(({ data }) => data));
  const loading = queries.some(query => query.loading);
  const newest = Math.max(...queries.map(({ at }) => at));
  useEffect(() => {
    if (loading || !Number.isFinite(next)) return;
    const { shown: before, wait } = last.current;
    const least = before === shown ? Math.min(wait * 2, LONGEST) : SHORTEST;
    last.current = { shown, wait: least };
    const refresh = () => {
      if (document.hidden) return;
      for (const { reload } of queries) reload();
    };
    const timer = setTimeout(refresh, Math.min(Math.max(next - Date.now(), least), FURTHEST));
    document.addEventListener("visibilitychange", refresh);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", refresh);
    };
  }, [loading, newest, next]);
}
