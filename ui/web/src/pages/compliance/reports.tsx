import { useEffect } from "preact/hooks";
import { useGet } from "../../lib/hooks";
import { query, setQuery } from "../../lib/router";
import { ofOrganization } from "../../lib/session";
import { shownMoment } from "../../lib/zone";
import { Card } from "../../parts/card";
import { Select } from "../../parts/field";
import { Progress } from "../../parts/progress";
import { Await, Empty, Notice } from "../../parts/states";
import { Shown } from "./shown";
import type { Report } from "./wire";

const EVERY = 1000; // milliseconds between looks at one that is being made

/** The reports that there are: one of them, whole. */
export function ReportsTab() {
  const found = useGet<Report[]>(ofOrganization("reports"));
  const waits = found.data?.some(({ state }) => state === "waiting") ?? false;
  useEffect(() => {
    if (!waits) return;
    const timer = setInterval(found.reload, EVERY);
    return () => clearInterval(timer);
  }, [waits]);
  return (
    <Await of={found}>
      {reports => {
        const wanted = query.value.get("report");
        const report = reports.find(({ id }) => id === wanted) ?? reports[0];
        if (!report) return <None />;
        return (
          <div class="stack">
            <div class="line noprint chosen">
              <Select
                aria-label="Report"
                value={report.id}
                change={id => setQuery({ report: id })}
                options={reports.map(one => [one.id, named(one)] as const)}
              />
            </div>
            <One key={report.id} report={report} />
          </div>
        );
      }}
    </Await>
  );
}

function One({ report }: { report: Report }) {
  if (report.state === "failed")
    return <Notice tone="bad">This report failed: {report.reason}.</Notice>;
  if (report.state === "ready") return <Shown report={report} />;
  return (
    <Card title="Being made">
      <div class="stack">
        <p>
          {report.done} of {report.steps} kinds of evidence are collected.
        </p>
        <Progress
          label="Evidence collected"
          shares={[{ tone: "info", value: report.done }]}
          total={report.steps}
        />
      </div>
    </Card>
  );
}

function None() {
  return (
    <Empty icon="report" title="No report yet">
      A report holds what the system can show for SOC 2, ISO 27001, PCI DSS and HIPAA, and names
      what it cannot.
    </Empty>
  );
}

function named(report: Report): string {
  return `${report.title}, ${shownMoment(Date.parse(report.created_at))}`;
}
