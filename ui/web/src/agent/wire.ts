/** What the agent's API sends, as far as its own pages read it. Written by hand and narrow. */

export interface Session {
  name: string;
  policies: string[];
  root: boolean;
  idle_seconds: number;
  /** Until it ends unless it is renewed. */
  left_seconds: number;
}

export interface OpenedSession extends Session {
  session_key: string;
}

/** Of `/v1/sys/seal-status`, which anybody may ask. */
export interface Seal {
  type: string;
  initialized: boolean;
  sealed: boolean;
  t: number;
  n: number;
  progress: number;
  version: string;
  /** Why an open agent serves nothing; not there while it serves. */
  refusing?: string;
}

export type SecretStatus = "active" | "deleted" | "destroyed" | "empty";

export interface Secret {
  name: string;
  version: number;
  status: SecretStatus;
  metadata: Record<string, string>;
  tags: string[];
  created_at: string;
  updated_at: string;
  created_by: string;
  expires_at?: string;
}

export interface SecretPage {
  secrets: Secret[];
  cursor: string;
}

export interface Version {
  version: number;
  created_at: string;
  created_by: string;
  deleted_at: string | null;
  destroyed: boolean;
  /** Or tags; null when it is not known. */
  metadata_changed: boolean | null;
}

/** What was said of a secret once a version was written; `version` 0: what is said now. */
export interface Side {
  version: number;
  metadata: Record<string, string>;
  tags: string[];
}

export interface Sides {
  from: Side;
  to: Side;
}

/** Everything about a secret but its values. */
export interface Info {
  secret: Secret;
  versions: Version[];
  max_versions: number;
  cas_required: boolean;
  delete_version_after_seconds: number;
  access_count: number;
  last_accessed: string | null;
}

export interface Decision {
  allowed: boolean;
  rule: string;
  reason: string;
  missing: string[];
  alert: boolean;
}

export interface User {
  id: string;
  username: string;
  email: string;
  roles: string[];
  policies: string[];
  status: string;
  created_at: string;
  updated_at: string;
  last_login: string | null;
}

export interface Permission {
  capabilities: string[];
  paths: string[];
}

export interface Key {
  id: string;
  name: string;
  permissions: Permission[];
  status: string;
  expires_at: string | null;
  created_at: string;
  created_by: string;
  last_used: string | null;
  uses: number;
  key?: string;
}

export interface Role {
  name: string;
  description: string;
  policies: string[];
}

/** An event of the audit log; live its time is in Unix seconds. */
export interface AuditEvent {
  seq: number;
  time: string | number;
  request_id: string;
  phase: string;
  operation: string;
  path: string;
  capability: string;
  actor_id: string;
  actor_name: string;
  method: string;
  credential: string;
  ip: string;
  user_agent: string;
  dialect: string;
  result: string;
  code: string;
  rule: string;
}

export interface Proof {
  record: string;
  seq: number;
  path: string[];
  checkpoint: string;
}

/** Topic `verification`, key `now`. */
export interface Verification {
  state: "never" | "running" | "whole" | "damaged" | "failed";
  checked: number;
  size: number;
  first: number;
  segments: number;
  root: string;
  public_key: string;
  fault: string;
  ended: number;
}

export interface Sink {
  name: string;
  size: number;
  behind: boolean;
  on_reserve: boolean;
  error: string;
}

export interface Disk {
  place: string;
  free: number;
  total: number;
  low: boolean;
}

/** Topic `health`, key `now`. */
export interface Health {
  version: string;
  opened_at: number;
  connections: number;
  requests: number;
  requests_per_second: number | null;
  errors_per_second: number | null;
  p50: number | null;
  p99: number | null;
  key_epoch: number;
  key_generation: number;
  key_created_at: number;
  key_uses: number;
  rotation_due: boolean;
  cache_bytes: number;
  cache_max_bytes: number;
  cache_entries: number;
  cache_hit_rate: number;
  audit_size: number;
  trouble: string;
  sinks: Sink[];
  disks: Disk[];
}

/** Topic `link`, key `now`. */
export interface Link {
  enabled: boolean;
  state: string;
  health: string;
  since: number;
  standing: string;
  endpoint: string;
  org: string;
  vault: string;
  fingerprint: string;
  generation: number;
  certificate_expires: number;
  connected: boolean;
  connected_at: number;
  round_trip: number | null;
  attempts: number;
  faults: number;
  outbox_messages: number;
  outbox_bytes: number;
  dropped: number;
  egress_bytes: number;
  cosigned_size: number;
  policy_version: number;
  policy_expires: number;
  policy_trouble: string;
  trouble: string;
}

export interface Sent {
  entry: number;
  time: string;
  kind: string;
  peer: string;
  path: string;
  connection: string;
  offset: number;
  length: number;
  sha256: string;
  says: string;
}

export interface SentPage {
  entries: Sent[];
  before: number;
}

export interface SentVerdict {
  entries: number;
  bytes: number;
  first: number;
  last: number;
  fault: string;
}

/** Accesses of one kind that would be decided otherwise; `allowed`: what they would be. */
export interface ReplayedChange {
  allowed: boolean;
  actor_id: string;
  actor_name: string;
  operation: string;
  capability: string;
  path: string;
  rule: string;
  count: number;
}

/** Of `policies-replay`. */
export interface Replayed {
  reached: string;
  stopped: string;
  accesses: number;
  unchanged: number;
  denied: number;
  allowed: number;
  drifted: number;
  undecided: Record<string, number>;
  changes: ReplayedChange[];
  others: number;
}
