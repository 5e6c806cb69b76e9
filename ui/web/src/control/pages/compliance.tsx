import { useState } from "preact/hooks";
import { Button } from "../../components/button";
import { Dialog } from "../../components/dialog";
import { SelectField, TextField } from "../../components/field";
import { Page } from "../../components/page";
import { Tabs } from "../../components/tabs";
import { ApiError, post } from "../../lib/api";
import { setQuery } from "../../lib/router";
import { organization, organizationPath } from "../../lib/session";
import type { Report } from "./compliance/api-types";
import { FrameworkPicker } from "./compliance/framework-picker";
import { dateRange, lastDays } from "./compliance/period";
import { ReportsTab } from "./compliance/reports";
import { SchedulesTab } from "./compliance/schedules";
import "./compliance/compliance.css";

/** Compliance reports and their schedules. */
export default function Compliance() {
  const org = organization.value;
  const [asking, setAsking] = useState(false);
  const [created, setCreated] = useState(0);
  return (
    <Page
      title="Compliance"
      actions={
        <Button kind="primary" icon="report" onClick={() => setAsking(true)}>
          Create report…
        </Button>
      }
    >
      <Tabs
        key={org}
        label="Compliance"
        tabs={[
          { name: "reports", title: "Reports", content: () => <ReportsTab key={created} /> },
          { name: "schedules", title: "Schedules", content: () => <SchedulesTab /> },
        ]}
      />
      {asking && (
        <ReportDialog onClose={() => setAsking(false)} onDone={() => setCreated(created + 1)} />
      )}
    </Page>
  );
}

const PERIODS = [
  ["30", "Last 30 days"],
  ["90", "Last 90 days"],
  ["365", "Last 365 days"],
  ["own", "Custom range"],
] as const;

/** Requests a report. */
export function ReportDialog({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const [title, setTitle] = useState("Compliance report");
  const [selected, setSelected] = useState<string[]>(["soc2", "iso27001", "pci-dss", "hipaa"]);
  const [period, setPeriod] = useState("90");
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const submit = async () => {
    const now = Date.now();
    const span = period === "own" ? dateRange(from, to, now) : lastDays(Number(period), now);
    if (!span)
      throw new ApiError(
        0,
        "period",
        "enter two past dates such as 2026-01-31, the earlier one first",
      );
    const body = { title, frameworks: selected, ...span };
    const { id } = await post<Report>(organizationPath("reports"), body);
    setQuery({ tab: "", report: id });
    onDone();
  };
  return (
    <Dialog title="Create report" submitLabel="Create" onSubmit={submit} onClose={onClose}>
      <TextField label="Title" value={title} onChange={setTitle} maxLength={128} required />
      <FrameworkPicker value={selected} onChange={setSelected} />
      <SelectField label="Period" value={period} onChange={setPeriod} options={PERIODS} />
      {period === "own" && (
        <div class="columns tight">
          <TextField
            label="From"
            placeholder="2026-01-01"
            value={from}
            onChange={setFrom}
            required
          />
          <TextField label="To" placeholder="2026-03-31" value={to} onChange={setTo} required />
        </div>
      )}
    </Dialog>
  );
}
