/** `count` includes `failed`, the denied and failed operations. */
export interface OperationCount {
  operation: string;
  count: number;
  failed: number;
}

/** Number of secrets up to `days`. Null is the open class. Not cumulative. */
export interface AgeClass {
  days: number | null;
  count: number;
}

export interface Usage {
  since: string;
  until: string;
  count: number;
  failed: number;
  agents: number;
  opaque_agents: number;
  operations: OperationCount[];
  /** Operations of the program itself and of its pages. Not part of `count`. */
  system_count: number;
  system_failed: number;
  system_operations: OperationCount[];
  secrets: {
    total: number;
    never_read: number;
    unused: number;
    expiring: number;
    expired: number;
    rotation_due: number;
    idle: AgeClass[];
    age: AgeClass[];
    expires: AgeClass[];
  };
}

export interface DailyCount {
  at: string;
  count: number;
  failed: number;
}

/** `vault` is empty for an operation of all agents. */
export interface UsageCount {
  vault: string;
  subject: string;
  count: number;
  failed: number;
}

/** A secret by its opaque ID. */
export interface SecretUsage {
  vault: string;
  secret: string;
  reads: number;
  last_read: string | null;
  rotated_at: string | null;
  expires_at: string | null;
  seen_at: string | null;
}

/** An agent's key-encryption key. If `exact` is false, it was in use before `since`. */
export interface KeyStatus {
  vault: string;
  generation: number;
  since: string;
  exact: boolean;
  due_since: string | null;
}

export interface PageOf<Row> {
  rows: Row[];
  /** Empty on the last page. */
  next: string;
}

export interface Forecast {
  name: string;
  unit: string;
  vault: string;
  enough: boolean;
  reason: string;
  points: number;
  weekly: boolean;
  per_day: number;
  history: { at: string; value: number }[];
  band: { at: string; expected: number; low: number; high: number }[];
  full_at: string | null;
}
