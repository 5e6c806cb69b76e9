import { useState } from "preact/hooks";
import { StatusBadge } from "../../components/badge";
import { Button } from "../../components/button";
import { Card, Stat, StatRow } from "../../components/card";
import { Dialog } from "../../components/dialog";
import { Page } from "../../components/page";
import { Await, EmptyState } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { timeColumn } from "../../components/time-column";
import { showError, showToast } from "../../components/toasts";
import { put } from "../../lib/api";
import { formatCount, pluralize } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { AGENT_LIMITS } from "../../lib/limits";
import { query } from "../../lib/router";
import type { RotationOverview, RotationPage, RotationPlan } from "../api-types";
import { FilterInput } from "../filter-input";
import { usePermission } from "../permission";
import { useRefreshAt } from "../refresh";
import { describeSchedule } from "../rotation-policy";
import { PausedNotice } from "./rotation/paused-notice";
import { DueList, RotationList, StateFilter } from "./rotations/lists";
import { RunMany, type RunSelection, SelectDialog } from "./rotations/run-many";
import "./pages.css";

const LOOKAHEAD = 30 * 86_400_000; // milliseconds
const PAGE_SIZE = AGENT_LIMITS.rotations;

/** What is due, running, stuck and over, of all secrets or of those with a tag or in a folder. */
export default function Rotations() {
  const prefix = query.value.get("prefix") ?? "";
  const tags = query.value.get("tags") ?? "";
  const state = query.value.get("state") ?? "";
  const [before, setBefore] = useState(lookahead);
  const [dialog, setDialog] = useState<"select" | "pause" | null>(null);
  const [run, setRun] = useState<{ id: number; selection: RunSelection } | null>(null);
  const chosen = { prefix, tags, limit: PAGE_SIZE };
  const runningQuery = { ...chosen, running: true };
  const stuckQuery = { ...chosen, state: "stuck" };
  const endedQuery = state ? { ...chosen, state } : chosen;
  const dueQuery = { ...chosen, before };
  const running = useGet<RotationPage>("rotations", runningQuery);
  const stuck = useGet<RotationPage>("rotations", stuckQuery);
  const all = useGet<RotationPage>("rotations", endedQuery);
  const plan = useGet<RotationPlan>("rotations/plan", dueQuery);
  const mayList = usePermission("list", "sys/rotations/");
  const mayPause = usePermission("sudo", "sys/rotations");
  const overview = useGet<RotationOverview>(mayList ? "rotations/overview" : null);
  const refresh = () => {
    setBefore(lookahead());
    for (const { reload } of [running, stuck, all, overview]) reload();
  };
  useRefreshAt(
    [running, stuck, all, plan],
    [
      ...(running.data?.rotations ?? []).map(row => row.next_at),
      ...(plan.data?.secrets ?? []).map(row => row.due_at),
    ],
  );
  const paused = overview.data?.paused ?? false;
  return (
    <Page
      title="Rotations"
      state={paused && <StatusBadge status="halted" label="Paused" filled />}
      actions={
        <>
          <Button onClick={refresh}>Refresh</Button>
          {mayPause && (
            <PauseButton paused={paused} onPause={() => setDialog("pause")} onResumed={refresh} />
          )}
          <Button kind="primary" icon="rotate" onClick={() => setDialog("select")}>
            Rotate by tag…
          </Button>
        </>
      }
    >
      <div class="stack">
        {paused && <PausedNotice />}
        <section class="filters" aria-label="Filter">
          <FilterInput label="Tags: a,b" name="tags" value={tags} />
          <FilterInput label="Folder: secret/app/" name="prefix" value={prefix} />
        </section>
        <StatRow>
          <Stat label="Due in 30 days" value={count(plan.data?.secrets, plan.data?.cursor)} />
          <Stat label="Running" value={count(running.data?.rotations, running.data?.cursor)} />
          <Stat label="Stuck" value={count(stuck.data?.rotations, stuck.data?.cursor)} />
        </StatRow>
        {run && (
          <RunMany
            key={run.id}
            selection={run.selection}
            onBegun={refresh}
            onClose={() => setRun(null)}
          />
        )}
        <Await query={stuck}>
          {page =>
            page.rotations.length > 0 && (
              <RotationList title="Stuck" first={page} query={stuckQuery} empty="None is stuck" />
            )
          }
        </Await>
        <Await query={running}>
          {page => (
            <RotationList
              title="Running"
              first={page}
              query={runningQuery}
              empty="None is running"
            />
          )}
        </Await>
        <Await query={plan}>{page => <DueList first={page} query={dueQuery} />}</Await>
        <Await query={all}>
          {page => (
            <RotationList
              title="All rotations"
              first={page}
              query={endedQuery}
              empty="No rotations"
            >
              <div class="toolbar">
                <StateFilter value={state} />
              </div>
            </RotationList>
          )}
        </Await>
        {overview.data && <FolderPolicies policies={overview.data.policies} />}
      </div>
      {dialog === "pause" && <PauseAll onClose={() => setDialog(null)} onDone={refresh} />}
      {dialog === "select" && (
        <SelectDialog
          prefix={prefix}
          tags={tags}
          onSelect={selection => setRun({ id: Date.now(), selection })}
          onClose={() => setDialog(null)}
        />
      )}
    </Page>
  );
}

function lookahead(): string {
  return new Date(Date.now() + LOOKAHEAD).toISOString();
}

function count(rows: readonly unknown[] | undefined, cursor: string | undefined): string {
  return rows ? formatCount(rows.length) + (cursor ? "+" : "") : "–";
}

interface PauseButtonProps {
  paused: boolean;
  onPause: () => void;
  onResumed: () => void;
}

function PauseButton({ paused, onPause, onResumed }: PauseButtonProps) {
  const [busy, setBusy] = useState(false);
  const resume = async () => {
    setBusy(true);
    try {
      await put("rotations/paused", { paused: false });
      showToast("Rotations go on");
      onResumed();
    } catch (error) {
      showError(error);
    }
    setBusy(false);
  };
  if (!paused) return <Button onClick={onPause}>Pause all…</Button>;
  return (
    <Button busy={busy} onClick={resume}>
      Resume all
    </Button>
  );
}

interface PauseAllProps {
  onClose: () => void;
  onDone: () => void;
}

function PauseAll({ onClose, onDone }: PauseAllProps) {
  const submit = async () => {
    await put("rotations/paused", { paused: true });
    showToast("Rotations are paused");
    onDone();
  };
  return (
    <Dialog title="Pause all rotations?" submitLabel="Pause" onSubmit={submit} onClose={onClose}>
      <p>
        No rotation begins or goes on, at any agent of this vault, until rotations are resumed. Old
        values keep working.
      </p>
    </Dialog>
  );
}

type FolderPolicy = RotationOverview["policies"][number];

const FOLDER_COLUMNS: Column<FolderPolicy>[] = [
  { name: "path", title: "Folder", cell: row => row.path, sortBy: row => row.path },
  { name: "rotator", title: "Rotator", width: "9rem", cell: row => row.policy.rotator },
  {
    name: "schedule",
    title: "Schedule",
    width: "14rem",
    wideOnly: true,
    cell: row => describeSchedule(row.policy),
  },
  { name: "by", title: "Set by", width: "10rem", wideOnly: true, cell: row => row.updated_by },
  timeColumn("at", "Changed", row => row.updated_at, { wideOnly: true }),
];

function FolderPolicies({ policies }: { policies: readonly FolderPolicy[] }) {
  return (
    <Card
      title="Policies of folders"
      flush
      aside={pluralize(policies.length, "policy", "policies")}
    >
      <Table
        label="Policies of folders"
        columns={FOLDER_COLUMNS}
        rows={policies}
        keyOf={({ path }) => path}
        height="16rem"
        empty={
          <EmptyState icon="policy" title="No folder has a policy">
            Each secret then needs one of its own.
          </EmptyState>
        }
      />
    </Card>
  );
}
