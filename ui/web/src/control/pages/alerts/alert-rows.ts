import type { AlertRow, AlertState, Severity } from "../../../lib/api-types";
import type { WithKey } from "../../../lib/collection";
import { toMillis } from "../../../lib/format";

/** An alert as in REST responses. */
export interface Alert {
  id: string;
  vault: string;
  code: string;
  severity: Severity;
  state: AlertState;
  message: string;
  at: string;
  last_at: string;
  ended_at: string | null;
  count: number;
  acknowledged_by: string;
  acknowledged_at: string | null;
  note: string;
}

/** Empty means any. */
export interface AlertFilter {
  text: string;
  severity: string;
  state: string;
  vault: string;
}

/** Converts an alert to a row of the live feed. */
export function alertRow(row: Alert): WithKey<AlertRow> {
  const { id, at, last_at, ended_at, acknowledged_at, ...rest } = row;
  const seconds = (when: string | null) => Math.floor((toMillis(when) ?? 0) / 1000);
  return {
    ...rest,
    key: id,
    at: seconds(at),
    last_at: seconds(last_at),
    ended_at: seconds(ended_at),
    acknowledged_at: seconds(acknowledged_at),
  };
}

/** The query for the server. It selects the same alerts as `filterAlerts`. */
export function alertQuery({ text, severity, state, vault }: AlertFilter): Record<string, string> {
  return {
    ...(severity && { severity }),
    ...(vault && { vault }),
    ...(state && { state }),
    ...(text.trim() && { text: text.trim().slice(0, 128) }),
  };
}

/** Merges by key, newest first. For equal keys the row of `first` wins. */
export function mergeAlerts<Row extends WithKey<AlertRow>>(
  first: readonly Row[],
  more: readonly Row[],
): Row[] {
  const rows = new Map([...more, ...first].map(row => [row.key, row]));
  return [...rows.values()].sort((a, b) => b.at - a.at || (a.key < b.key ? -1 : 1));
}

/** Alerts that match the filter, open ones first. */
export function filterAlerts<Row extends AlertRow>(
  rows: readonly Row[],
  { text, severity, state, vault }: AlertFilter,
): Row[] {
  const wanted = text.trim().toLowerCase();
  const result = rows.filter(
    row =>
      (!severity || row.severity === severity) &&
      (!vault || row.vault === vault) &&
      matchesState(row, state) &&
      (!wanted ||
        `${row.vault} ${row.code} ${row.message} ${row.note}`.toLowerCase().includes(wanted)),
  );
  return result.sort((a, b) => Number(isResolved(a)) - Number(isResolved(b)));
}

function matchesState(row: AlertRow, state: string): boolean {
  return !state || (state === "open" ? !isResolved(row) : row.state === state);
}

function isResolved({ state }: AlertRow): boolean {
  return state === "resolved";
}
