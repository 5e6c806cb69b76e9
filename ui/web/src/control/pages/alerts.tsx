import { LiveIndicator } from "../../components/live-indicator";
import { Page } from "../../components/page";
import { type Tab, Tabs } from "../../components/tabs";
import { hasRole } from "../../lib/session";
import { ChannelsTab } from "./alerts/channels";
import { DeliveriesTab } from "./alerts/deliveries";
import { AlertsTab } from "./alerts/list";
import "./alerts/alerts.css";

/** Alerts, notification channels and deliveries. */
export default function Alerts() {
  return (
    <Page title="Alerts" state={<LiveIndicator />}>
      <div class="stack">
        <Tabs label="Alerts" tabs={tabs()} />
      </div>
    </Page>
  );
}

function tabs(): Tab[] {
  const list = { name: "alerts", title: "Alerts", content: () => <AlertsTab /> };
  if (!hasRole("operator")) return [list];
  return [
    list,
    { name: "channels", title: "Channels", content: () => <ChannelsTab /> },
    { name: "deliveries", title: "Deliveries", content: () => <DeliveriesTab /> },
  ];
}
