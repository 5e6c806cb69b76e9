import { LiveIndicator } from "../../components/live-indicator";
import { Page } from "../../components/page";
import { Tabs } from "../../components/tabs";
import { query } from "../../lib/router";
import { Search } from "./audit/search";
import { LiveEvents } from "./audit/tail";
import { Verify } from "./audit/verify";
import "./pages.css";

/** What happened: as it happens, searched for, and proven. */
export default function Audit() {
  const isLive = query.value.get("tab") !== "search";
  return (
    <Page title="Audit log" state={isLive && <LiveIndicator />}>
      <div class="stack">
        <Tabs
          label="The audit log"
          tabs={[
            { name: "now", title: "Now", content: () => <LiveEvents /> },
            { name: "search", title: "Search", content: () => <Search /> },
            { name: "verify", title: "Verify", content: () => <Verify /> },
          ]}
        />
      </div>
    </Page>
  );
}
