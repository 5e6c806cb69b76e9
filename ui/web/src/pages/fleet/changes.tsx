import { operationTitle } from "../../lib/deeds";
import { actorName } from "../../lib/format";
import { useLive } from "../../lib/hooks";
import type { RecentChange } from "../../lib/types";
import { StatusBadge } from "../../parts/badge";
import { Card } from "../../parts/card";
import { RelativeTime } from "../../parts/time";
import "./changes.css";

const MAX_CHANGES = 8;

/** What people did lately, and whether they were let. */
export function RecentChanges({ org }: { org: string }) {
  const changes = useLive<RecentChange>("changes", org);
  changes.version.value;
  const newest = changes
    .list()
    .filter(({ phase }) => phase === "outcome")
    .sort((a, b) => Number(b.key) - Number(a.key))
    .slice(0, MAX_CHANGES);
  return (
    <Card title="What changed lately" flush>
      {newest.length ? (
        <ul class="changes">
          {newest.map(row => (
            <li key={row.key}>
              <span>
                {operationTitle(row)} <span class="mono">{row.target}</span>
              </span>
              <RelativeTime at={row.at} />
              <span class="by">
                {row.operation.startsWith("link.") ? "the agent" : actorName(row)}
              </span>
              {row.result !== "ok" && <StatusBadge status={row.result} />}
            </li>
          ))}
        </ul>
      ) : (
        <p class="muted">Nothing yet.</p>
      )}
    </Card>
  );
}
