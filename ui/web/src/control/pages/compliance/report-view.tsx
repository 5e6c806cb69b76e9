import { useState } from "preact/hooks";
import { StatusBadge, toneOf } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card, DescriptionList } from "../../../components/card";
import { CopyButton } from "../../../components/copy-button";
import { Select } from "../../../components/field";
import { ProgressBar } from "../../../components/progress";
import { Await, Notice } from "../../../components/states";
import { Timestamp } from "../../../components/time";
import { showError } from "../../../components/toasts";
import { get } from "../../../lib/api";
import { downloadFile } from "../../../lib/download";
import { formatBytes, pluralize } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { organizationPath } from "../../../lib/session";
import {
  RESULTS,
  type Report,
  type ReportContentData,
  type ReportVerification,
  type ResultCounts,
} from "./api-types";
import { ControlCard } from "./control-card";

const ANY = "";
const FORMATS = [
  ["html", "HTML"],
  ["csv", "CSV"],
  ["json", "Signed JSON"],
] as const;

/** A finished report: totals, controls, evidence. */
export function ReportView({ report }: { report: Report }) {
  const content = useGet<ReportContentData>(organizationPath(`reports/${report.id}/content`));
  const [checked, setChecked] = useState<ReportVerification | null>(null);
  const verify = () =>
    get<ReportVerification>(organizationPath(`reports/${report.id}/verify`)).then(
      setChecked,
      showError,
    );
  return (
    <>
      <Card
        title={report.title}
        aside={
          <span class="line noprint">
            <Button icon="check" onClick={verify}>
              Verify
            </Button>
            <Button icon="report" onClick={() => print()}>
              Print
            </Button>
          </span>
        }
      >
        <div class="stack">
          {checked && <VerificationNotice verification={checked} />}
          <DescriptionList
            rows={[
              ["Period", <ReportPeriod key="period" report={report} />],
              ["Created", <Timestamp key="made" at={report.made_at} />],
              ["Requested by", report.created_by],
              ["Digest", <ReportDigest key="digest" digest={report.digest} />],
            ]}
          />
          <p class="line noprint">
            <span class="muted">Download ({formatBytes(report.size)}):</span>
            {FORMATS.map(([form, title]) => (
              <Button
                key={form}
                kind="quiet"
                onClick={() =>
                  downloadFile(organizationPath(`reports/${report.id}/file`), {
                    format: form,
                  }).catch(showError)
                }
              >
                {title}
              </Button>
            ))}
          </p>
        </div>
      </Card>
      <Await query={content}>{data => <ReportContent data={data} />}</Await>
    </>
  );
}

function ReportDigest({ digest }: { digest: string }) {
  return (
    <span class="line">
      <code>{digest}</code>
      <CopyButton text={digest} label="Copy the digest" />
    </span>
  );
}

function ReportPeriod({ report }: { report: Report }) {
  return (
    <span>
      <Timestamp at={report.since} /> to <Timestamp at={report.until} />
    </span>
  );
}

function VerificationNotice({ verification }: { verification: ReportVerification }) {
  if (verification.whole)
    return (
      <Notice tone="good">
        Verified. The control plane's signature matches every part, and the audit log holds the
        digest.
      </Notice>
    );
  return <Notice tone="bad">Verification failed: {verification.faults.join("; ")}.</Notice>;
}

function ReportContent({ data }: { data: ReportContentData }) {
  const [framework, setFramework] = useState(ANY);
  const [result, setResult] = useState(ANY);
  const fits = (one: string, wanted: string) => wanted === ANY || one === wanted;
  const rows = data.controls.filter(
    control => fits(control.framework, framework) && fits(control.result, result),
  );
  return (
    <>
      <div class="columns tight">
        {Object.entries(data.header.frameworks).map(([id, title]) => (
          <FrameworkTotals key={id} title={title} counts={data.header.counts[id]} />
        ))}
      </div>
      <div class="line noprint">
        <Select
          aria-label="Framework"
          value={framework}
          onChange={setFramework}
          options={[[ANY, "All frameworks"], ...Object.entries(data.header.frameworks)]}
        />
        <Select
          aria-label="Result"
          value={result}
          onChange={setResult}
          options={[
            [ANY, "All results"],
            ...RESULTS.map(one => [one, RESULT_LABELS[one]] as const),
          ]}
        />
        <span class="muted">{pluralize(rows.length, "control")}</span>
      </div>
      <ul class="controls">
        {rows.map(control => (
          <li key={`${control.framework}/${control.id}`}>
            <ControlCard
              control={control}
              frameworkTitle={data.header.frameworks[control.framework] ?? control.framework}
              evidence={data.evidence}
            />
          </li>
        ))}
      </ul>
    </>
  );
}

const RESULT_LABELS = {
  met: "Met",
  partly: "Partially met",
  gap: "Gap",
  not_evidenced: "Not evidenced",
} as const;

/** The number of controls of a framework for each result. */
export function FrameworkTotals({
  title,
  counts,
}: {
  title: string;
  counts: ResultCounts | undefined;
}) {
  if (!counts) return null;
  const total = RESULTS.reduce((sum, result) => sum + counts[result], 0);
  return (
    <Card title={title}>
      <div class="stack">
        <ProgressBar
          label={`${title}: controls by result`}
          segments={RESULTS.map(result => ({ tone: toneOf(result), value: counts[result] }))}
          total={total}
        />
        <ul class="totals">
          {RESULTS.map(result => (
            <li key={result}>
              <StatusBadge status={result} />
              <span class="number">{counts[result]}</span>
            </li>
          ))}
        </ul>
      </div>
    </Card>
  );
}
