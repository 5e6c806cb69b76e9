import { useState } from "preact/hooks";
import { get } from "../../lib/api";
import { bytes, plural } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { download } from "../../lib/save";
import { ofOrganization } from "../../lib/session";
import { Button } from "../../parts/button";
import { Card, Facts } from "../../parts/card";
import { Copy } from "../../parts/copy";
import { Select } from "../../parts/field";
import { Await, Notice } from "../../parts/states";
import { Moment } from "../../parts/time";
import { toastError } from "../../parts/toasts";
import { ControlCard } from "./control";
import { Totals } from "./totals";
import { type Checked, type Content, RESULTS, type Report } from "./wire";

const ALL = "";
const FORMS = [
  ["html", "HTML"],
  ["csv", "CSV"],
  ["json", "JSON, signed"],
] as const;

/** A report that is made: totals, controls, evidence. */
export function Shown({ report }: { report: Report }) {
  const content = useGet<Content>(ofOrganization(`reports/${report.id}/content`));
  const [checked, setChecked] = useState<Checked | null>(null);
  const verify = () =>
    get<Checked>(ofOrganization(`reports/${report.id}/verify`)).then(setChecked, toastError);
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
          {checked && <Verdict of={checked} />}
          <Facts
            rows={[
              ["Period", <Period key="period" of={report} />],
              ["Made", <Moment key="made" at={report.made_at} />],
              ["Asked for by", report.created_by],
              ["Digest", <Digest key="digest" of={report.digest} />],
            ]}
          />
          <p class="line noprint">
            <span class="muted">Download ({bytes(report.size)}):</span>
            {FORMS.map(([form, title]) => (
              <Button
                key={form}
                kind="quiet"
                onClick={() =>
                  download(ofOrganization(`reports/${report.id}/file`), { format: form }).catch(
                    toastError,
                  )
                }
              >
                {title}
              </Button>
            ))}
          </p>
        </div>
      </Card>
      <Await of={content}>{data => <Inside data={data} />}</Await>
    </>
  );
}

function Digest({ of }: { of: string }) {
  return (
    <span class="line">
      <code>{of}</code>
      <Copy text={of} label="Copy the digest" />
    </span>
  );
}

function Period({ of }: { of: Report }) {
  return (
    <span>
      <Moment at={of.since} /> to <Moment at={of.until} />
    </span>
  );
}

function Verdict({ of }: { of: Checked }) {
  if (of.whole)
    return (
      <Notice tone="good">
        Whole: signed by this control plane's key, every part as it was signed, its digest on the
        trail.
      </Notice>
    );
  return <Notice tone="bad">Not as it was signed: {of.faults.join("; ")}.</Notice>;
}

function Inside({ data }: { data: Content }) {
  const [framework, setFramework] = useState(ALL);
  const [result, setResult] = useState(ALL);
  const fits = (one: string, wanted: string) => wanted === ALL || one === wanted;
  const rows = data.controls.filter(
    control => fits(control.framework, framework) && fits(control.result, result),
  );
  return (
    <>
      <div class="columns tight">
        {Object.entries(data.header.frameworks).map(([id, title]) => (
          <Totals key={id} title={title} counts={data.header.counts[id]} />
        ))}
      </div>
      <div class="line noprint">
        <Select
          aria-label="Framework"
          value={framework}
          change={setFramework}
          options={[[ALL, "All frameworks"], ...Object.entries(data.header.frameworks)]}
        />
        <Select
          aria-label="Result"
          value={result}
          change={setResult}
          options={[[ALL, "All results"], ...RESULTS.map(one => [one, WORDS[one]] as const)]}
        />
        <span class="muted">{plural(rows.length, "control")}</span>
      </div>
      <ul class="controls">
        {rows.map(control => (
          <li key={`${control.framework}/${control.id}`}>
            <ControlCard
              control={control}
              title={data.header.frameworks[control.framework] ?? control.framework}
              evidence={data.evidence}
            />
          </li>
        ))}
      </ul>
    </>
  );
}

const WORDS = {
  met: "Met",
  partly: "Partly met",
  gap: "Gap",
  not_evidenced: "Not evidenced",
} as const;
