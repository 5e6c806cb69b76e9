import { useEffect } from "preact/hooks";
import { Card } from "../../../components/card";
import { Select } from "../../../components/field";
import { ProgressBar } from "../../../components/progress";
import { Await, EmptyState, Notice } from "../../../components/states";
import { useGet } from "../../../lib/hooks";
import { query, setQuery } from "../../../lib/router";
import { organizationPath } from "../../../lib/session";
import { formatTime } from "../../../lib/time-zone";
import type { Report } from "./api-types";
import { ReportView } from "./report-view";

const POLL_INTERVAL = 1000; // milliseconds, while a report is in progress

/** Selects a report and shows it. */
export function ReportsTab() {
  const result = useGet<Report[]>(organizationPath("reports"));
  const isWaiting = result.data?.some(({ state }) => state === "waiting") ?? false;
  useEffect(() => {
    if (!isWaiting) return;
    const timer = setInterval(result.reload, POLL_INTERVAL);
    return () => clearInterval(timer);
  }, [isWaiting]);
  return (
    <Await query={result}>
      {reports => {
        const wanted = query.value.get("report");
        const report = reports.find(({ id }) => id === wanted) ?? reports[0];
        if (!report) return <NoReports />;
        return (
          <div class="stack">
            <div class="line noprint chosen">
              <Select
                aria-label="Report"
                value={report.id}
                onChange={id => setQuery({ report: id })}
                options={reports.map(one => [one.id, reportLabel(one)] as const)}
              />
            </div>
            <ReportState key={report.id} report={report} />
          </div>
        );
      }}
    </Await>
  );
}

function ReportState({ report }: { report: Report }) {
  if (report.state === "failed") return <Notice tone="bad">Report failed: {report.reason}.</Notice>;
  if (report.state === "ready") return <ReportView report={report} />;
  return (
    <Card title="In progress">
      <div class="stack">
        <p>
          {report.done} of {report.steps} kinds of evidence collected.
        </p>
        <ProgressBar
          label="Evidence collected"
          segments={[{ tone: "info", value: report.done }]}
          total={report.steps}
        />
      </div>
    </Card>
  );
}

function NoReports() {
  return (
    <EmptyState icon="report" title="No reports yet">
      A report collects evidence for SOC 2, ISO 27001, PCI DSS and HIPAA, and lists the gaps.
    </EmptyState>
  );
}

function reportLabel(report: Report): string {
  return `${report.title}, ${formatTime(Date.parse(report.created_at))}`;
}
