import { humanize, pluralize } from "../../../lib/format";

/** Responses of the retention API (`/api/v1/openapi.json`). */

export interface RetentionRule {
  kind: string;
  days: number;
  least: number;
  most: number;
  default: number;
  set: boolean;
}

export interface DryRunRow {
  kind: string;
  days: number;
  before: string | null;
  rows: number;
  held: number;
}

export interface LegalHold {
  id: string;
  vault: string;
  since: string | null;
  until: string | null;
  reason: string;
  created_by: string;
  created_at: string;
  lifted_by: string;
  lifted_at: string | null;
  lifted_why: string;
}

export function kindLabel(kind: string): string {
  return KIND_LABELS[kind] ?? humanize(kind);
}

const KIND_LABELS: Record<string, string> = {
  history: "History of roles, presence, certificates, policies",
  notes: "Notes on controls",
  holds: "Lifted holds",
};

/** `400 days` or `Forever`. */
export function retentionPeriod(days: number): string {
  return days ? pluralize(days, "day") : "Forever";
}
