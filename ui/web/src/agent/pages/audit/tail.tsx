import { ErrorState, Loading, StaleNotice } from "../../../components/states";
import { pluralize } from "../../../lib/format";
import type { AuditEvent } from "../../api-types";
import { useTopic } from "../../topics";
import { AuditEvents } from "./events";

/** The newest records, as they come. */
export function LiveEvents() {
  const live = useTopic<AuditEvent>("audit");
  live.version.value;
  if (live.error.value) return <ErrorState error={live.error.value} />;
  if (live.freshness.value === "loading") return <Loading />;
  const rows = live.list().sort((a, b) => b.seq - a.seq);
  return (
    <div class="stack">
      <StaleNotice freshness={live.freshness.value} />
      <AuditEvents title="The newest" rows={rows} aside={pluralize(rows.length, "record")} />
    </div>
  );
}
