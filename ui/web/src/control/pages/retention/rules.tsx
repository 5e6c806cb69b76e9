import { useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { Dialog } from "../../../components/dialog";
import { TextField } from "../../../components/field";
import { Await } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { Timestamp } from "../../../components/time";
import { put } from "../../../lib/api";
import { formatCount } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { hasRole, organizationPath } from "../../../lib/session";
import { type DryRunRow, kindLabel, type RetentionRule, retentionPeriod } from "./api-types";

/** Retention rules, with a dry run. */
export function RetentionRules() {
  const result = useGet<RetentionRule[]>(organizationPath("retention"));
  const [tried, setTried] = useState(0);
  const [edited, setEdited] = useState<RetentionRule | null>(null);
  const columns: Column<RetentionRule>[] = [
    ...COLUMNS,
    {
      name: "actions",
      title: "Actions",
      hideTitle: true,
      width: "7.5rem",
      numeric: true,
      cell: rule => hasRole("owner") && <Button onClick={() => setEdited(rule)}>Edit…</Button>,
    },
  ];
  return (
    <>
      <Card
        title="Retention rules"
        aside={<Button onClick={() => setTried(tried + 1)}>Run dry run</Button>}
        flush
      >
        <Await query={result}>
          {rules => (
            <Table
              label="Retention rules"
              columns={columns}
              rows={rules}
              keyOf={({ kind }) => kind}
            />
          )}
        </Await>
      </Card>
      {tried > 0 && <RetentionDryRun key={tried} />}
      {edited && (
        <RuleDialog rule={edited} onClose={() => setEdited(null)} onDone={result.reload} />
      )}
    </>
  );
}

const COLUMNS: Column<RetentionRule>[] = [
  { name: "kind", title: "Records", cell: ({ kind }) => kindLabel(kind) },
  { name: "days", title: "Kept", cell: ({ days }) => retentionPeriod(days) },
  {
    name: "by",
    title: "Set by",
    wideOnly: true,
    cell: ({ set }) => (set ? "Organization" : "Control plane default"),
  },
  {
    name: "bounds",
    title: "Allowed range",
    wideOnly: true,
    cell: ({ least, most }) => `${least} to ${most} days`,
  },
];

function RetentionDryRun() {
  const result = useGet<DryRunRow[]>(organizationPath("retention/dry-run"));
  return (
    <Card title="Dry run" flush>
      <Await query={result}>
        {rows => (
          <Table label="Dry run" columns={DRY_RUN_COLUMNS} rows={rows} keyOf={({ kind }) => kind} />
        )}
      </Await>
    </Card>
  );
}

const DRY_RUN_COLUMNS: Column<DryRunRow>[] = [
  { name: "kind", title: "Records", cell: ({ kind }) => kindLabel(kind) },
  {
    name: "before",
    title: "Older than",
    wideOnly: true,
    cell: ({ before }) => <Timestamp at={before} />,
  },
  { name: "rows", title: "To delete", numeric: true, cell: ({ rows }) => formatCount(rows) },
  { name: "held", title: "On legal hold", numeric: true, cell: ({ held }) => formatCount(held) },
];

function RuleDialog({
  rule,
  onClose,
  onDone,
}: {
  rule: RetentionRule;
  onClose: () => void;
  onDone: () => void;
}) {
  const [days, setDays] = useState(String(rule.set ? rule.days : 0));
  const submit = async () => {
    await put(organizationPath("retention"), { kind: rule.kind, days: Number(days) });
    onDone();
  };
  return (
    <Dialog
      title={`Retention period: ${kindLabel(rule.kind)}`}
      submitLabel="Save"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        Older records are deleted permanently once a day. The audit log records how many. Records on
        legal hold are kept.
      </p>
      <TextField
        label="Days"
        hint={`${rule.least} to ${rule.most}. 0 uses the default: ${retentionPeriod(rule.default)}.`}
        inputmode="numeric"
        pattern="[0-9]{1,5}"
        value={days}
        onChange={setDays}
        required
      />
    </Dialog>
  );
}
