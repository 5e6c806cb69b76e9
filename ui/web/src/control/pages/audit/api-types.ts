/** A record of the control plane's audit log. Hashes in hex. */
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

/**
 * The verified hash chain. `broken_at` is 0 if it is intact. Retention deleted the first `base`
 * records.
 */
export interface ChainVerification {
  size: number;
  head: string;
  broken_at: number;
  base: number;
}

/** The signed head of the audit log. `at` is in Unix nanoseconds. */
export interface SignedHead {
  org: string;
  size: number;
  hash: string;
  at: number;
  signature: string;
  key: string;
}

/** `operation` and `target` match prefixes. Times are values of `<input type="datetime-local">`. */
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

/** The API's query: times in Unix seconds. The last minute is included. */
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

/** The result, or the error code of a failure. */
export function resultLabel({ code, phase, result }: AuditRecord): string {
  if (phase === "intent") return "Intent";
  return result === "ok" ? "OK" : result === "denied" ? "Denied" : code || "Failed";
}
