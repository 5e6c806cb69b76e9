/** A record of the trail of people. Hashes in hex. */
export interface AuditRecord {
  seq: number;
  at: string;
  request_id: string;
  actor: string;
  token: string;
  ip: string;
  operation: string;
  target: string;
  phase: "intent" | "outcome";
  result: string;
  code: string;
  detail: Record<string, unknown>;
  previous: string;
  hash: string;
}

/** Whether the chain is whole; `broken_at` 0: it is. The first `base` were deleted by rule. */
export interface ChainVerification {
  size: number;
  head: string;
  broken_at: number;
  base: number;
}

/** The end of the trail, signed; `at` in Unix nanoseconds. */
export interface SignedHead {
  org: string;
  size: number;
  hash: string;
  at: number;
  signature: string;
  key: string;
}

/** `operation` and `target` are beginnings; times are what `<input type="datetime-local">` gives. */
export const FILTER_FIELDS = [
  "actor",
  "operation",
  "target",
  "result",
  "phase",
  "ip",
  "request_id",
  "since",
  "until",
] as const;

export type AuditFilters = Record<(typeof FILTER_FIELDS)[number], string>;

/** As the API takes them: times in Unix seconds, in whole minutes, the last one included. */
export function auditQuery(filters: AuditFilters): Record<string, string | number> {
  const given: Record<string, string | number> = {};
  for (const name of FILTER_FIELDS) {
    const value = filters[name];
    if (!value) continue;
    const seconds = Date.parse(value) / 1000;
    if (name === "since") given.since = seconds;
    else if (name === "until") given.until = seconds + MINUTE;
    else given[name] = value;
  }
  return given;
}

const MINUTE = 60; // seconds

/** What came of it, in a word; the code when it has one to tell. */
export function resultLabel({ code, phase, result }: AuditRecord): string {
  if (phase === "intent") return "Intent";
  return result === "ok" ? "OK" : result === "denied" ? "Denied" : code || "Failed";
}
