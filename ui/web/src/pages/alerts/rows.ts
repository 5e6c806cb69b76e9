import type { Keyed } from "../../lib/collection";
import { instant } from "../../lib/format";
import type { AlertRow, Severity } from "../../lib/types";

/** An alert as REST tells it. */
export interface Older {
  id: string;
  vault: string;
  code: string;
  severity: Severity;
  message: string;
  at: string;
  acknowledged_by: string;
  acknowledged_at: string | null;
  note: string;
}

/** What the list is narrowed to; empty means any. */
export interface Filter {
  text: string;
  severity: string;
  state: string;
  vault: string;
}

/** As the live feed has it. */
export function rowOf({ id, at, acknowledged_at, ...rest }: Older): Keyed<AlertRow> {
  const seconds = (when: string | null) => Math.floor((instant(when) ?? 0) / 1000);
  return { ...rest, key: id, at: seconds(at), acknowledged_at: seconds(acknowledged_at) };
}

export function narrowed<Row extends AlertRow>(
  rows: readonly Row[],
  { text, severity, state, vault }: Filter,
): Row[] {
  const wanted = text.trim().toLowerCase();
  return rows.filter(
    row =>
      (!severity || row.severity === severity) &&
      (!vault || row.vault === vault) &&
      (!state || (row.acknowledged_at ? "seen" : "open") === state) &&
      (!wanted ||
        `${row.vault} ${row.code} ${row.message} ${row.note}`.toLowerCase().includes(wanted)),
  );
}
