import { deedOf } from "../../lib/deeds";
import { whoOf } from "../../lib/format";
import { useLive } from "../../lib/hooks";
import type { ChangeRow } from "../../lib/types";
import { Card } from "../../parts/card";
import { TimeAgo } from "../../parts/time";
import "./changes.css";

const SHOWN = 8;

/** What people changed lately; what was refused or failed is on the audit page. */
export function Changes({ org }: { org: string }) {
  const changes = useLive<ChangeRow>("changes", org);
  changes.version.value;
  const newest = changes
    .list()
    .filter(({ phase, result }) => phase === "outcome" && result === "ok")
    .sort((a, b) => Number(b.key) - Number(a.key))
    .slice(0, SHOWN);
  return (
    <Card title="What changed lately" flush>
      {newest.length ? (
        <ul class="changes">
          {newest.map(row => (
            <li key={row.key}>
              <span>
                {deedOf(row)} <span class="mono">{row.target}</span>
              </span>
              <TimeAgo at={row.at} />
              <span class="by">{row.operation.startsWith("link.") ? "the agent" : whoOf(row)}</span>
            </li>
          ))}
        </ul>
      ) : (
        <p class="muted">Nothing yet.</p>
      )}
    </Card>
  );
}
