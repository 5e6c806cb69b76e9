import { useState } from "preact/hooks";
import { StatusBadge } from "../../components/badge";
import { Button } from "../../components/button";
import { Card, Stat, StatRow } from "../../components/card";
import { CodeBlock } from "../../components/code-block";
import { Page } from "../../components/page";
import { Await, EmptyState, Notice } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { RelativeTime } from "../../components/time";
import { timeColumn } from "../../components/time-column";
import { formatCount, formatDuration, pluralize } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import type { Backup, BackupDestination, BackupPage, BackupSchedule } from "../api-types";
import { BackupDetails } from "./backups/details";
import { BackUpNow } from "./backups/dialogs";
import { BackupList, PAGE_SIZE } from "./backups/list";
import { RestoreResult, type RestoreStarted } from "./backups/restore";
import { RunProgress, Runs } from "./backups/runs";
import "./pages.css";

const LATENESS = 3_600_000; // milliseconds, as of the agent

const EXAMPLE = `backup:
  enabled: true
  schedule: "0 2 * * *"
  destinations:
    - type: local
      path: /var/backups/freehold`;

/** Backups of the agent's data: made, proven, and put back. */
export default function Backups() {
  const schedule = useGet<BackupSchedule>("backups/schedule");
  const backups = useGet<BackupPage>("backups", { limit: PAGE_SIZE });
  const [run, setRun] = useState("");
  const [runs, setRuns] = useState(0);
  const [dialog, setDialog] = useState(false);
  const [selected, setSelected] = useState<Backup | null>(null);
  const [restore, setRestore] = useState<RestoreStarted | null>(null);
  const refresh = () => {
    schedule.reload();
    backups.reload();
    setRuns(count => count + 1);
  };
  const begin = (id: string) => {
    setRun(id);
    setRuns(count => count + 1);
  };
  const destinations = schedule.data?.destinations ?? [];
  return (
    <Page
      title="Backups"
      state={schedule.data && <StatusBadge status={schedule.data.state} filled />}
      actions={
        destinations.length > 0 && (
          <>
            <Button onClick={refresh}>Refresh</Button>
            <Button kind="primary" onClick={() => setDialog(true)}>
              Back up now…
            </Button>
          </>
        )
      }
    >
      <Await query={schedule}>
        {found =>
          found.destinations.length ? (
            <div class="stack">
              <Summary schedule={found} />
              {run && <RunProgress key={run} id={run} onEnd={refresh} />}
              <Destinations schedule={found} backups={backups.data?.backups ?? []} />
              <Await query={backups}>
                {page => <BackupList key={page.cursor} first={page} onOpen={setSelected} />}
              </Await>
              {selected && (
                <BackupDetails
                  key={selected.id + selected.destination}
                  backup={selected}
                  onBegin={begin}
                  onRestore={setRestore}
                  onDeleted={() => {
                    setSelected(null);
                    refresh();
                  }}
                />
              )}
              {restore && (
                <RestoreResult key={restore.run} started={restore} onBegin={setRestore} />
              )}
              <Runs key={runs} onOpen={({ id }) => setRun(id)} />
            </div>
          ) : (
            <Off />
          )
        }
      </Await>
      {dialog && (
        <BackUpNow destinations={destinations} onBegin={begin} onClose={() => setDialog(false)} />
      )}
    </Page>
  );
}

/** How to switch backups on. */
function Off() {
  return (
    <Card title="Backups are off">
      <div class="stack">
        <EmptyState icon="report" title="This agent has no destination for backups">
          Name a destination in the agent's configuration and restart the agent. The first backup is
          then made at once.
        </EmptyState>
        <CodeBlock label="Configuration" text={EXAMPLE} />
      </div>
    </Card>
  );
}

function Summary({ schedule }: { schedule: BackupSchedule }) {
  const { retention_count: kept, retention_age_seconds: age } = schedule;
  return (
    <>
      {!schedule.enabled && (
        <Notice tone="warn">
          No schedule: backups are made only when somebody asks for them. Set backup.enabled to true
          in the agent's configuration.
        </Notice>
      )}
      <Card title="Schedule">
        <StatRow>
          <Stat label="Next backup" value={<RelativeTime at={schedule.next_at} />} />
          <Stat label="Newest backup" value={<RelativeTime at={schedule.newest_at} />} />
          <Stat label="Newest proven backup" value={<RelativeTime at={schedule.proven_at} />} />
          <Stat
            label="Verified backups"
            value={formatCount(schedule.count)}
            note={`Retention: the newest ${kept}, and all of the last ${formatDuration(age)}`}
          />
        </StatRow>
        {schedule.enabled && (
          <p class="muted">
            Schedule <code>{schedule.schedule}</code> (UTC), a full backup every{" "}
            {formatDuration(schedule.full_interval_seconds)}.
          </p>
        )}
      </Card>
    </>
  );
}

interface DestinationsProps {
  schedule: BackupSchedule;
  backups: readonly Backup[];
}

function Destinations({ schedule, backups }: DestinationsProps) {
  const columns: Column<BackupDestination>[] = [
    {
      name: "name",
      title: "Destination",
      cell: row => <span title={row.location}>{row.name}</span>,
      sortBy: row => row.name,
    },
    {
      name: "state",
      title: "State",
      width: "8rem",
      cell: row => <StatusBadge {...destinationState(row, schedule, backups)} />,
    },
    {
      name: "count",
      title: "Backups",
      width: "6rem",
      numeric: true,
      wideOnly: true,
      cell: row => formatCount(row.count),
    },
    timeColumn("newest", "Newest", row => row.newest_at),
    timeColumn("next", "Next", row => row.next_at, { wideOnly: true }),
    {
      name: "error",
      title: "Last error",
      width: "18rem",
      wideOnly: true,
      cell: row => <span title={row.error}>{row.error || "–"}</span>,
    },
  ];
  const failing = schedule.destinations.filter(row => row.error);
  return (
    <Card title="Destinations" flush aside={pluralize(schedule.destinations.length, "destination")}>
      {failing.map(row => (
        <Notice key={row.name} tone="bad">
          {row.name}: {row.error}
        </Notice>
      ))}
      <Table
        label="Destinations"
        columns={columns}
        rows={schedule.destinations}
        keyOf={row => row.name}
        height="14rem"
      />
    </Card>
  );
}

/** The worst that applies, as the agent judges all of them together. */
function destinationState(
  row: BackupDestination,
  schedule: BackupSchedule,
  backups: readonly Backup[],
): { status: string; label?: string } {
  if (row.error) return { status: "failed" };
  if (!schedule.enabled) return row.count ? { status: "good" } : { status: "off", label: "Empty" };
  if (row.next_at && Date.parse(row.next_at) + LATENESS < Date.now()) return { status: "late" };
  const full = row.newest_full_at ?? "";
  const isProven = backups.some(
    one => one.destination === row.name && one.certificate && (one.created_at ?? "") >= full,
  );
  return { status: isProven ? "good" : "unproven" };
}
