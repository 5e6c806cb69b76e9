import { organization } from "../lib/session";
import { Page } from "../parts/page";
import { Tabs } from "../parts/tabs";
import { Capacity } from "./usage/capacity";
import { Keys } from "./usage/keys";
import { Overview } from "./usage/overview";
import { Secrets } from "./usage/secrets";
import { Span } from "./usage/span";
import { Top } from "./usage/top";

/** What is used, by whom, how much, and what it will take. */
export default function Usage() {
  return (
    <Page title="Usage and capacity" actions={<Span />}>
      <div class="stack">
        <Tabs
          key={organization.value}
          label="About usage"
          tabs={[
            { name: "overview", title: "Overview", content: () => <Overview /> },
            { name: "top", title: "Most used", content: () => <Top /> },
            { name: "secrets", title: "Secrets", content: () => <Secrets /> },
            { name: "keys", title: "Keys", content: () => <Keys /> },
            { name: "capacity", title: "Capacity", content: () => <Capacity /> },
          ]}
        />
      </div>
    </Page>
  );
}
