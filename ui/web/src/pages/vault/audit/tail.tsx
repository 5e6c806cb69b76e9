import { useTopic } from "../../../agent/live";
import type { AuditEvent } from "../../../agent/wire";
import { plural } from "../../../lib/format";
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
      <Events title="The newest" rows={rows} aside={plural(rows.length, "record")} />
    </div>
  );
}
