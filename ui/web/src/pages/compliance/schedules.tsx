import { useState } from "preact/hooks";
import { patch, post, remove } from "../../lib/api";
import { useGet } from "../../lib/hooks";
import { ofOrganization } from "../../lib/session";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Dialog } from "../../parts/dialog";
import { Choice, Field } from "../../parts/field";
import { Await, Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { Moment } from "../../parts/time";
import { toastError } from "../../parts/toasts";
import { Choose } from "./choose";
import type { Schedule } from "./wire";

const path = (of?: Schedule) => ofOrganization(`report-schedules${of ? `/${of.id}` : ""}`);

/** Reports that are made by a clock. */
export function Schedules() {
  const found = useGet<Schedule[]>(path());
  const [adding, setAdding] = useState(false);
  const then = (done: Promise<unknown>) => done.then(found.reload, toastError);
  const columns: Column<Schedule>[] = [
    ...COLUMNS,
    {
      name: "actions",
      title: "Actions",
      bare: true,
      width: "11rem",
      number: true,
      cell: row => (
        <span class="line">
          {row.suspended ? (
            <Button onClick={() => then(post(`${path(row)}/adopt`))}>Take over</Button>
          ) : (
            <Button onClick={() => then(patch(path(row), { enabled: !row.enabled }))}>
              {row.enabled ? "Pause" : "Go on"}
            </Button>
          )}
          <Button onClick={() => then(remove(path(row)))}>Remove</Button>
        </span>
      ),
    },
  ];
  return (
    <Card title="Schedules" aside={<Button onClick={() => setAdding(true)}>New…</Button>} flush>
      <Await of={found}>
        {rows => (
          <Table
            label="Schedules"
            columns={columns}
            rows={rows}
            keyOf={({ id }) => id}
            height="18rem"
            empty={<Empty icon="report" title="No report is made by a clock" />}
          />
        )}
      </Await>
      {adding && <New close={() => setAdding(false)} done={found.reload} />}
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
    wide: true,
    cell: ({ enabled, suspended }) =>
      suspended ? (
        <State of="halted" label="Suspended" />
      ) : (
        <State of={enabled ? "active" : "halted"} label={enabled ? "On" : "Paused"} />
      ),
  },
  {
    name: "cron",
    title: "When",
    wide: true,
    cell: ({ cron, zone }) => (
      <span>
        <code>{cron}</code> {zone}
      </span>
    ),
  },
  {
    name: "next",
    title: "Next",
    wide: true,
    cell: row => <Moment at={row.enabled && !row.suspended ? row.next_at : null} />,
  },
  { name: "last", title: "Last", wide: true, cell: row => <Moment at={row.last_at} /> },
];

const DAYS = [
  ["7", "7 days"],
  ["31", "31 days"],
  ["92", "92 days"],
  ["366", "366 days"],
] as const;

function New({ close, done }: { close: () => void; done: () => void }) {
  const [title, setTitle] = useState("Monthly evidence");
  const [chosen, setChosen] = useState<string[]>(["soc2"]);
  const [cron, setCron] = useState("0 6 1 * *");
  const [zone, setZone] = useState(Intl.DateTimeFormat().resolvedOptions().timeZone);
  const [days, setDays] = useState("31");
  const act = async () => {
    const body = { title, frameworks: chosen, cron, zone, days: Number(days) };
    await post(path(), body);
    done();
  };
  return (
    <Dialog title="A report by the clock" action="Add" act={act} close={close}>
      <Field label="Title" value={title} change={setTitle} maxLength={128} required />
      <Choose value={chosen} change={setChosen} />
      <Field
        label="When"
        hint="Minute, hour, day, month, weekday: 0 6 1 * * is at six on the first of each month."
        value={cron}
        change={setCron}
        required
      />
      <Field
        label="Time zone"
        hint="Such as Europe/Berlin."
        value={zone}
        change={setZone}
        required
      />
      <Choice label="Covers the last" value={days} change={setDays} options={DAYS} />
    </Dialog>
  );
}
