import { useTopic } from "../../../agent/live";
import type { AuditEvent } from "../../../agent/wire";
import { Card } from "../../../parts/card";
import { Failure, Loading, Stale } from "../../../parts/states";
import { Events } from "./events";

/** The newest records, as they come. */
export function Tail() {
  const live = useTopic<AuditEvent>("audit");
  live.version.value;
  if (live.error.value) return <Failure error={live.error.value} />;
  if (live.freshness.value === "loading") return <Loading />;
  const rows = live.list().sort((a, b) => b.seq - a.seq);
  return (
    <div class="stack">
      <Stale freshness={live.freshness.value} />
      <Card title="The newest" flush aside={`${rows.length} records`}>
        <Events label="Newest records" rows={rows} />
      </Card>
    </div>
  );
}
