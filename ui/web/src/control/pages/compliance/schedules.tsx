import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { Dialog } from "../../../components/dialog";
import { SelectField, TextField } from "../../../components/field";
import { Await, EmptyState } from "../../../components/states";
import { type Column, Table } from "../../../components/table";
import { Timestamp } from "../../../components/time";
import { showError } from "../../../components/toasts";
import { patch, post, remove } from "../../../lib/api";
import { useGet } from "../../../lib/hooks";
import { organizationPath } from "../../../lib/session";
import type { Schedule } from "./api-types";
import { FrameworkPicker } from "./framework-picker";

const schedulePath = (of?: Schedule) =>
  organizationPath(`report-schedules${of ? `/${of.id}` : ""}`);

/** Scheduled reports. */
export function SchedulesTab() {
  const result = useGet<Schedule[]>(schedulePath());
  const [adding, setAdding] = useState(false);
  const then = (done: Promise<unknown>) => done.then(result.reload, showError);
  const columns: Column<Schedule>[] = [
    ...COLUMNS,
    {
      name: "actions",
      title: "Actions",
      hideTitle: true,
      width: "11rem",
      numeric: true,
      cell: row => (
        <span class="line">
          {row.suspended ? (
            <Button onClick={() => then(post(`${schedulePath(row)}/adopt`))}>Take over</Button>
          ) : (
            <Button onClick={() => then(patch(schedulePath(row), { enabled: !row.enabled }))}>
              {row.enabled ? "Pause" : "Resume"}
            </Button>
          )}
          <Button onClick={() => then(remove(schedulePath(row)))}>Delete</Button>
        </span>
      ),
    },
  ];
  return (
    <Card
      title="Schedules"
      aside={<Button onClick={() => setAdding(true)}>Create schedule…</Button>}
      flush
    >
      <Await query={result}>
        {rows => (
          <Table
            label="Schedules"
            columns={columns}
            rows={rows}
            keyOf={({ id }) => id}
            height="18rem"
            empty={<EmptyState icon="report" title="No scheduled reports" />}
          />
        )}
      </Await>
      {adding && <ScheduleDialog onClose={() => setAdding(false)} onDone={result.reload} />}
    </Card>
  );
}

const COLUMNS: Column<Schedule>[] = [
  {
    name: "title",
    title: "Title",
    cell: ({ title, suspended }) => (
      <span>
        {title} {suspended && <small class="muted">suspended: {suspended}</small>}
      </span>
    ),
  },
  {
    name: "state",
    title: "State",
    width: "7rem",
    wideOnly: true,
    cell: ({ enabled, suspended }) =>
      suspended ? (
        <StatusBadge status="halted" label="Suspended" />
      ) : (
        <StatusBadge status={enabled ? "active" : "halted"} label={enabled ? "Active" : "Paused"} />
      ),
  },
  {
    name: "cron",
    title: "Schedule",
    wideOnly: true,
    cell: ({ cron, zone }) => (
      <span>
        <code>{cron}</code> {zone}
      </span>
    ),
  },
  {
    name: "next",
    title: "Next run",
    wideOnly: true,
    cell: row => <Timestamp at={row.enabled && !row.suspended ? row.next_at : null} />,
  },
  { name: "last", title: "Last run", wideOnly: true, cell: row => <Timestamp at={row.last_at} /> },
];

const DAYS = [
  ["7", "Last 7 days"],
  ["31", "Last 31 days"],
  ["92", "Last 92 days"],
  ["366", "Last 366 days"],
] as const;

function ScheduleDialog({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const [title, setTitle] = useState("Monthly evidence");
  const [selected, setSelected] = useState<string[]>(["soc2"]);
  const [cron, setCron] = useState("0 6 1 * *");
  const [zone, setZone] = useState(Intl.DateTimeFormat().resolvedOptions().timeZone);
  const [days, setDays] = useState("31");
  const submit = async () => {
    const body = { title, frameworks: selected, cron, zone, days: Number(days) };
    await post(schedulePath(), body);
    onDone();
  };
  return (
    <Dialog title="Create schedule" submitLabel="Create" onSubmit={submit} onClose={onClose}>
      <TextField label="Title" value={title} onChange={setTitle} maxLength={128} required />
      <FrameworkPicker value={selected} onChange={setSelected} />
      <TextField
        label="Schedule (cron)"
        hint="Minute, hour, day of month, month, weekday. 0 6 1 * * runs at 06:00 on the first of each month."
        value={cron}
        onChange={setCron}
        required
      />
      <TextField
        label="Time zone"
        hint="For example Europe/Berlin."
        value={zone}
        onChange={setZone}
        required
      />
      <SelectField label="Report period" value={days} onChange={setDays} options={DAYS} />
    </Dialog>
  );
}
