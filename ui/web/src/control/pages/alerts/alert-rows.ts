import type { AlertRow, AlertState, Severity } from "../../../lib/api-types";
import type { WithKey } from "../../../lib/collection";
import { toMillis } from "../../../lib/format";

/** An alert as REST tells it. */
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

/** What the list is narrowed to; empty means any. */
export interface AlertFilter {
  text: string;
  severity: string;
  state: string;
  vault: string;
}

/** As the live feed has it. */
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

/** What the server is asked for: the same that `narrowed` leaves of what is here. */
export function alertQuery({ text, severity, state, vault }: AlertFilter): Record<string, string> {
  return {
    ...(severity && { severity }),
    ...(vault && { vault }),
    ...(state && { state }),
    ...(text.trim() && { text: text.trim().slice(0, 128) }),
  };
}

/** Each once, the newest first; of two with one key the one of `first`. */
export function mergeAlerts<Row extends WithKey<AlertRow>>(
  first: readonly Row[],
  more: readonly Row[],
): Row[] {
  const rows = new Map([...more, ...first].map(row => [row.key, row]));
  return [...rows.values()].sort((a, b) => b.at - a.at || (a.key < b.key ? -1 : 1));
}

/** Those that the filter lets through; what is not resolved comes first. */
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
