/**
 * Responses and live rows of the control plane, with the fields that pages read. Live rows follow
 * docs/spec/live.md: times in Unix seconds, durations in milliseconds, rates per second, null for
 * unknown. The rest follows /api/v1/openapi.json.
 */

export type Role = "viewer" | "operator" | "admin" | "owner";
export type AgentState =
  | "unknown"
  | "online"
  | "degraded"
  | "late"
  | "sealed"
  | "refusing"
  | "offline"
  | "pending"
  | "locked"
  | "retired";
export type Lifecycle = "pending" | "active" | "locked" | "retired";
export type Severity = "info" | "warning" | "critical";
export type AlertState = "firing" | "acknowledged" | "resolved";

export interface Organization {
  id: string;
  title: string;
}

/** Topic `fleet`, key vault. */
export interface AgentRow {
  tags: string[];
  version: string;
  life: Lifecycle;
  reason: string;
  state: AgentState;
  /** Of the vault that it serves, as it says; agents with the same one are its nodes. */
  vault_id: string;
  linked: boolean;
  heard: number;
  policy: "wanted" | "applied" | "failed" | "unknown" | "";
  why: string;
  wanted: number;
  applied: number;
  /** Of its vault: the state of the backups, empty if none was reported; the time of the newest. */
  backup: BackupState | "";
  backup_at: number;
  /** Whether a restore certificate proves a recent backup of its vault. */
  certified: boolean;
  /** Of its vault: how the rotations do, empty if none were reported; how many are owed. */
  rotation: RotationDebt | "";
  rotations_owed: number;
  requests: number | null;
  errors: number | null;
  p50: number | null;
  p99: number | null;
  secrets: number | null;
}

export type RotationDebt = "none" | "good" | "failing" | "overdue" | "stuck";

export type BackupState = "off" | "good" | "late" | "failed" | "unproven";

/** Topic `curves`, key Unix seconds. */
export interface FleetSample {
  requests: number | null;
  errors: number | null;
  p50: number | null;
  p99: number | null;
  online: number | null;
}

/** Topic `changes`, key sequence number in the audit log. */
export interface RecentChange {
  at: number;
  actor: string;
  operation: string;
  target: string;
  phase: "intent" | "outcome";
  result: string;
  code: string;
  ip: string;
}

/** Topic `alerts`, key id. */
export interface AlertRow {
  vault: string;
  code: string;
  severity: Severity;
  state: AlertState;
  message: string;
  at: number;
  /** 0 while it is open. */
  ended_at: number;
  last_at: number;
  /** Number of reports. */
  count: number;
  acknowledged_by: string;
  acknowledged_at: number;
  note: string;
}

/** Topic `agent`, one row for each section. */
export interface AgentSections {
  agent: AgentRow & {
    platform: string;
    backend: string;
    key_holder: string;
    started: number;
    created: number;
  };
  link: {
    connected: boolean;
    since: number;
    health: string;
    sync: string;
    newest: number;
    acknowledged: number;
    received: number;
  };
  policies: {
    policy: string;
    why: string;
    wanted: number;
    applied: number;
    changed: number;
    contents: Record<string, number>;
  };
  certificate: {
    generation: number;
    serial: string;
    not_before: number;
    not_after: number;
    renew_at: number;
    standing: string;
  };
  /** Of its vault, as its nodes report. */
  backup: {
    state: BackupState | "";
    newest: number;
    proven: number;
    count: number;
    rto: number;
    rpo: number;
    certificate: string;
    certified: boolean;
  };
  /** Of its vault, as one of its nodes counts; only `state` before any report. */
  rotation: {
    state: RotationDebt | "";
    policies: number;
    unmanaged: number;
    due: number;
    overdue: number;
    overdue_since: number;
    next_due: number;
    running: number;
    waiting: number;
    failing: number;
    stuck: number;
    rotated_day: number;
    rotated_month: number;
    leases: number;
    revoking: number;
    irrevocable: number;
    lagging: number;
    unrenewed: number;
  };
  audit: { size: number; root: string; at: number; fault: string; disputed: boolean };
  metrics: {
    at: number;
    counters: Record<string, number> | null;
    gauges: Record<string, number> | null;
    histograms: Record<string, { counts: number[]; sum_us: number }> | null;
  };
  tree: { at: number; nodes: ActorNode[] | null };
}

export interface ActorNode {
  path: string;
  state: string;
  restarts: number;
  handled: number;
  mean_us: number;
  max_us: number;
  depth: number;
  bound: number;
  refused: number;
  dropped: number;
}

export type RolloutState = "running" | "halted" | "done" | "rolled_back";

/** Topic `rollouts`, key id. */
export interface RolloutRow {
  policy: string;
  version: number;
  previous: number;
  /** Starts at 0. */
  step: number;
  steps: number;
  /** Whether steps advance automatically. */
  automatic: boolean;
  state: RolloutState;
  reason: string;
  created_by: string;
  created: number;
  changed: number;
  total: number | null;
  reached: number | null;
  wanted: number | null;
  /** Agents of `wanted` that are locked or went offline before the step. */
  away: number | null;
  applied: number | null;
  failed: number | null;
  /** Whether the step is complete. */
  through: boolean | null;
}

/** Exactly one field is set. */
export interface Target {
  vault?: string | null;
  tag?: string | null;
  all?: boolean;
}

export interface Policy {
  name: string;
  head: number;
  stable: number;
  targets: Target[];
  changed_at: string;
}

export interface PolicyVersion {
  version: number;
  document: PolicyDocument;
  comment: string;
  created_by: string;
  created_at: string;
}

export interface PolicyRule {
  effect: "allow" | "deny";
  paths: string[];
  capabilities: string[];
  conditions?: Record<string, unknown>[];
}

export interface PolicyDocument {
  name?: string;
  /** Of an agent's policy that its control plane has sent. */
  source?: "control_plane";
  description?: string;
  enabled?: boolean;
  priority?: number;
  rules?: PolicyRule[];
  conditions?: Record<string, unknown>[];
  /** Instead of rules: a text in Vault's language (HCL). */
  acl?: string;
  /** Of a policy that is stored. */
  version?: number;
  updated_at?: string;
}

/** Policies that an agent should have, and the outcome. */
export interface Assignment {
  vault: string;
  policies: Record<string, number>;
  outcome: "wanted" | "applied" | "failed" | "unknown";
}
