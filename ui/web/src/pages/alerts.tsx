import { may } from "../lib/session";
import { LinkState } from "../parts/linkstate";
import { Page } from "../parts/page";
import { type Tab, Tabs } from "../parts/tabs";
import { Channels } from "./alerts/channels";
import { Deliveries } from "./alerts/deliveries";
import { List } from "./alerts/list";
import "./alerts/alerts.css";

/** What a person should know, and who is told of it how. */
export default function Alerts() {
  return (
    <Page title="Alerts" state={<LinkState />}>
      <div class="stack">
        <Tabs label="About alerts" tabs={tabs()} />
      </div>
    </Page>
  );
}

function tabs(): Tab[] {
  const list = { name: "alerts", title: "Alerts", content: () => <List /> };
  if (!may("operator")) return [list];
  return [
    list,
    { name: "channels", title: "Channels", content: () => <Channels /> },
    { name: "deliveries", title: "Deliveries", content: () => <Deliveries /> },
  ];
}
