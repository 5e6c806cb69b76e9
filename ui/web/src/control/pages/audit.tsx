import { Page } from "../../components/page";
import { Tabs } from "../../components/tabs";
import { organization } from "../../lib/session";
import { Search } from "./audit/search";
import { Verify } from "./audit/verify";

/** The control plane's audit log. */
export default function Audit() {
  return (
    <Page title="Audit log">
      <div class="stack">
        <Tabs
          key={organization.value}
          label="Audit log"
          tabs={[
            { name: "search", title: "Search", content: () => <Search /> },
            { name: "verify", title: "Verify and export", content: () => <Verify /> },
          ]}
        />
      </div>
    </Page>
  );
}
