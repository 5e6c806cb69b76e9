import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { Dialog } from "../../../components/dialog";
import { SearchInput, Select, TextField } from "../../../components/field";
import { EmptyState, ErrorState, Loading, StaleNotice } from "../../../components/states";
import { RelativeTime } from "../../../components/time";
import { showError, showToast } from "../../../components/toasts";
import { post } from "../../../lib/api";
import type { AlertRow } from "../../../lib/api-types";
import type { WithKey } from "../../../lib/collection";
import { formatCount, formatDuration, humanize, pluralize } from "../../../lib/format";
import { useAction, useLive } from "../../../lib/hooks";
import { query, setQuery } from "../../../lib/router";
import { hasRole, inOrganization, organization, organizationPath } from "../../../lib/session";
import { useAlertHistory } from "./alert-history";
import { type Alert, alertRow, filterAlerts } from "./alert-rows";

type Row = WithKey<AlertRow>;

/** Live alerts, older ones on demand. The filters are in the address. */
export function AlertsTab() {
  const live = useLive<AlertRow>("alerts", organization.value);
  live.version.value;
  const param = (name: string) => query.value.get(name) ?? "";
  const [text, severity] = [param("q"), param("severity")];
  const [state, vault] = [param("state"), param("vault")];
  const filter = { text, severity, state, vault };
  const { rows, more, load, replace } = useAlertHistory(live, filter);
  const { run, busy } = useAction(() => load().catch(showError));
  if (live.error.value) return <ErrorState error={live.error.value} />;
  if (live.freshness.value === "loading") return <Loading label="Loading alerts" />;
  const shown = filterAlerts(rows, filter);
  return (
    <div class="stack">
      <StaleNotice freshness={live.freshness.value} />
      <Card title="Alerts" flush aside={countLabel(rows.length, shown.length)}>
        <div class="toolbar">
          <SearchInput label="Find alerts" value={text} onChange={q => setQuery({ q })} />
          <Select
            aria-label="Severity"
            value={severity}
            onChange={value => setQuery({ severity: value })}
            options={[
              ["", "Any severity"],
              ["critical", "Critical"],
              ["warning", "Warning"],
              ["info", "Info"],
            ]}
          />
          <Select
            aria-label="State"
            value={state}
            onChange={value => setQuery({ state: value })}
            options={[
              ["", "Any state"],
              ["open", "Not resolved"],
              ["firing", "Firing"],
              ["acknowledged", "Acknowledged"],
              ["resolved", "Resolved"],
            ]}
          />
          <Select
            aria-label="Agent"
            value={vault}
            onChange={value => setQuery({ vault: value })}
            options={[["", "Any agent"], ...agentChoices(rows, vault)]}
          />
        </div>
        {shown.length ? (
          <ul class="alerts" aria-label="Alerts">
            {shown.map(row => (
              <AlertItem key={row.key} row={row} onChanged={replace} />
            ))}
          </ul>
        ) : (
          <EmptyState icon="bell" title={rows.length ? "No matching alerts" : "No alerts"}>
            {rows.length ? "Try fewer filters." : "No alert was raised."}
          </EmptyState>
        )}
        {more && (
          <p class="line">
            <Button busy={busy} onClick={run}>
              Load older alerts
            </Button>
          </p>
        )}
      </Card>
    </div>
  );
}

interface AlertItemProps {
  row: Row;
  onChanged: (row: Row) => void;
}

function AlertItem({ row, onChanged }: AlertItemProps) {
  const [dialog, setDialog] = useState(false);
  const isSeen = row.acknowledged_at > 0;
  const isOver = row.state === "resolved";
  return (
    <li class={isSeen || isOver ? "seen" : ""}>
      <div class="states">
        <StatusBadge status={row.severity} filled={row.severity === "critical" && !isOver} />
        <StatusBadge status={row.state} />
      </div>
      <div class="what">
        <p class="line">
          <b>{humanize(row.code)}</b>
          {row.vault && <a href={inOrganization(`/agents/${row.vault}`)}>{row.vault}</a>}
        </p>
        <p>{row.message}</p>
        {row.count > 1 && <p class="muted">Reported {formatCount(row.count)} times</p>}
        {row.note && <p class="note">{row.note}</p>}
      </div>
      <div class="when">
        <RelativeTime at={row.at} />
        <span class="muted">
          {isOver ? `lasted ${formatDuration(row.ended_at - row.at)}` : "not resolved"}
        </span>
        {isSeen && (
          <span class="muted">
            {row.acknowledged_by}, <RelativeTime at={row.acknowledged_at} />
          </span>
        )}
        {!isSeen && !isOver && hasRole("operator") && (
          <Button onClick={() => setDialog(true)} aria-label={`Acknowledge: ${row.message}`}>
            Acknowledge…
          </Button>
        )}
      </div>
      {dialog && (
        <AcknowledgeDialog row={row} onClose={() => setDialog(false)} onChanged={onChanged} />
      )}
    </li>
  );
}

function AcknowledgeDialog({ row, onClose, onChanged }: AlertItemProps & { onClose: () => void }) {
  const [note, setNote] = useState("");
  const submit = async () => {
    onChanged(
      alertRow(await post<Alert>(organizationPath(`alerts/${row.key}/acknowledge`), { note })),
    );
    showToast("Alert acknowledged");
  };
  return (
    <Dialog
      title="Acknowledge alert?"
      submitLabel="Acknowledge"
      onSubmit={submit}
      onClose={onClose}
    >
      <p>{row.message}</p>
      <TextField
        label="Note"
        hint="Optional. What caused the alert and what was done."
        value={note}
        onChange={setNote}
        maxLength={1024}
      />
    </Dialog>
  );
}

function agentChoices(rows: readonly Row[], selected: string): [string, string][] {
  const names = [...new Set([selected, ...rows.map(({ vault }) => vault)])].filter(Boolean).sort();
  return names.map(name => [name, name]);
}

function countLabel(all: number, shown: number): string {
  return all === shown ? pluralize(all, "alert") : `${formatCount(shown)} of ${formatCount(all)}`;
}
