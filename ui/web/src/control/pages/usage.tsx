import { Page } from "../../components/page";
import { Tabs } from "../../components/tabs";
import { organization } from "../../lib/session";
import { CapacityTab } from "./usage/capacity";
import { UsageFilters } from "./usage/filters";
import { KeysTab } from "./usage/keys";
import { MostUsedTab } from "./usage/most-used";
import { OverviewTab } from "./usage/overview";
import { SecretsTab } from "./usage/secrets";

/** Usage, rotation debt and capacity. */
export default function Usage() {
  return (
    <Page title="Usage and capacity" actions={<UsageFilters />}>
      <div class="stack">
        <Tabs
          key={organization.value}
          label="Usage and capacity"
          tabs={[
            { name: "overview", title: "Overview", content: () => <OverviewTab /> },
            { name: "top", title: "Most used", content: () => <MostUsedTab /> },
            { name: "secrets", title: "Secrets", content: () => <SecretsTab /> },
            { name: "keys", title: "Keys", content: () => <KeysTab /> },
            { name: "capacity", title: "Capacity", content: () => <CapacityTab /> },
          ]}
        />
      </div>
    </Page>
  );
}
