import { plural, words } from "../../lib/format";

/** What the server says of rules and holds (`/api/v1/openapi.json`). */

export interface Rule {
  kind: string;
  days: number;
  least: number;
  most: number;
  default: number;
  set: boolean;
}

export interface Purged {
  kind: string;
  days: number;
  before: string | null;
  rows: number;
  held: number;
}

export interface Hold {
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

/** A kind in words. */
export function told(kind: string): string {
  return WORDS[kind] ?? words(kind);
}

const WORDS: Record<string, string> = {
  history: "History of roles, presence, certificates, policies",
  notes: "Notes on controls",
  holds: "Lifted holds",
};

/** `400 days`, `for ever`. */
export function kept(days: number): string {
  return days ? plural(days, "day") : "for ever";
}
