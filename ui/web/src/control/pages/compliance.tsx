import { ReportsTab } from "./compliance/reports";
import { SchedulesTab } from "./compliance/schedules";
import "./compliance/compliance.css";
import { useState } from "preact/hooks";
import { Button } from "../../components/button";
import { Page } from "../../components/page";
import { Tabs } from "../../components/tabs";
import { organization } from "../../lib/session";
import { ReportDialog } from "./compliance/report-dialog";

/** What the system can show for a standard, with the proofs; made now or by a clock. */
export default function Compliance() {
  const org = organization.value;
  const [asking, setAsking] = useState(false);
  const [made, setMade] = useState(0);
  return (
    <Page
      title="Compliance"
      actions={
        <Button kind="primary" icon="report" onClick={() => setAsking(true)}>
          Make a report…
        </Button>
      }
    >
      <Tabs
        key={org}
        label="Compliance"
        tabs={[
          { name: "reports", title: "Reports", content: () => <ReportsTab key={made} /> },
          { name: "schedules", title: "Schedules", content: () => <SchedulesTab /> },
        ]}
      />
      {asking && <ReportDialog onClose={() => setAsking(false)} onDone={() => setMade(made + 1)} />}
    </Page>
  );
}
