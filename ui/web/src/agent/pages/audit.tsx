import { LiveIndicator } from "../../components/live-indicator";
import { Page } from "../../components/page";
import { ErrorState, Loading, StaleNotice } from "../../components/states";
import { Tabs } from "../../components/tabs";
import { pluralize } from "../../lib/format";
import { query } from "../../lib/router";
import type { AuditEvent } from "../api-types";
import { useTopic } from "../topics";
import { AuditEvents } from "./audit/events";
import { Search } from "./audit/search";
import { Verify } from "./audit/verify";
import "./pages.css";

/** The agent's audit log: live, searched, verified. */
export default function Audit() {
  const isLive = query.value.get("tab") !== "search";
  return (
    <Page title="Audit log" state={isLive && <LiveIndicator />}>
      <div class="stack">
        <Tabs
          label="Audit log"
          tabs={[
            { name: "now", title: "Live", content: () => <LiveEvents /> },
            { name: "search", title: "Search", content: () => <Search /> },
            { name: "verify", title: "Verify", content: () => <Verify /> },
          ]}
        />
      </div>
    </Page>
  );
}

/** The newest records, live. */
export function LiveEvents() {
  const live = useTopic<AuditEvent>("audit");
  live.version.value;
  if (live.error.value) return <ErrorState error={live.error.value} />;
  if (live.freshness.value === "loading") return <Loading />;
  const rows = live.list().sort((a, b) => b.seq - a.seq);
  return (
    <div class="stack">
      <StaleNotice freshness={live.freshness.value} />
      <AuditEvents title="Newest records" rows={rows} aside={pluralize(rows.length, "record")} />
    </div>
  );
}
