import { Card } from "../../../components/card";
import { RelativeTime } from "../../../components/time";
import type { RecentChange } from "../../../lib/api-types";
import { actorName } from "../../../lib/format";
import { useLive } from "../../../lib/hooks";
import { operationTitle } from "../../operation-titles";
import "./recent-changes.css";

const MAX_CHANGES = 8;

/** The newest successful changes of the audit log, live. */
export function RecentChanges({ org }: { org: string }) {
  const changes = useLive<RecentChange>("changes", org);
  changes.version.value;
  const newest = changes
    .list()
    .filter(({ phase, result }) => phase === "outcome" && result === "ok")
    .sort((a, b) => Number(b.key) - Number(a.key))
    .slice(0, MAX_CHANGES);
  return (
    <Card title="Recent changes" flush>
      {newest.length ? (
        <ul class="changes">
          {newest.map(row => (
            <li key={row.key}>
              <span>
                {operationTitle(row)} <span class="mono">{row.target}</span>
              </span>
              <RelativeTime at={row.at} />
              <span class="by">{row.operation.startsWith("link.") ? "Agent" : actorName(row)}</span>
            </li>
          ))}
        </ul>
      ) : (
        <p class="muted">No changes yet.</p>
      )}
    </Card>
  );
}
