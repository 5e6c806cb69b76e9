/** The responses of the agent's API, with the fields that its pages read. */

export interface Session {
  name: string;
  policies: string[];
  root: boolean;
  idle_seconds: number;
  /** Seconds until the session expires if it is not renewed. */
  left_seconds: number;
}

export interface NewSession extends Session {
  session_key: string;
}

/** Response of `/v1/sys/seal-status`, which needs no authentication. */
export interface SealStatus {
  type: string;
  initialized: boolean;
  sealed: boolean;
  t: number;
  n: number;
  progress: number;
  version: string;
  /** Why an unsealed agent refuses requests. Absent while it serves. */
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
  /** Whether metadata or tags changed with this version. Null if unknown. */
  metadata_changed: boolean | null;
}

/** Metadata and tags of a secret as of a version. `version` 0 is the current state. */
export interface VersionLabels {
  version: number;
  metadata: Record<string, string>;
  tags: string[];
}

export interface VersionLabelsPair {
  from: VersionLabels;
  to: VersionLabels;
}

/** Who fetched a secret. */
export interface Consumer {
  kind: "key" | "user" | "token";
  id: string;
  name: string;
  /** The highest version that it fetched. */
  version: number;
  fetched_at: string | null;
  compromised_at: string | null;
}

/** Who fetches a secret, and what connects with it. */
export interface SecretConsumersPage {
  /** The current version. */
  version: number;
  consumers: Consumer[];
  /** Whether there are more consumers than are kept. */
  partial: boolean;
  /** `kind` `rotation`: `path` is a secret, or a folder with its slash. */
  dependents: { kind: string; path: string }[];
  /** Dependents that the caller may not see. */
  hidden: number;
}

/** A secret without its values. */
export interface SecretDetails {
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

export interface ApiKey {
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

/** An event of the audit log. `time` is in Unix seconds on the live feed, RFC 3339 over REST. */
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

export interface InclusionProof {
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

export interface EgressEntry {
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

export interface EgressPage {
  entries: EgressEntry[];
  before: number;
}

export interface EgressVerification {
  entries: number;
  bytes: number;
  first: number;
  last: number;
  fault: string;
}

/** Recorded accesses with the same new decision. `allowed` is the new decision. */
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

/** Response of `policies-replay`. */
export interface ReplayResult {
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

export interface BackupCertificate {
  name: string;
  finished_at: string;
  depth: "rows" | "chunks";
  /** Null: nothing was restored. */
  rto_ms: number | null;
  rpo_ms: number;
  rows: number;
  sha256: string;
}

export interface Backup {
  id: string;
  destination: string;
  created_at: string | null;
  kind: string;
  base: string;
  commits: number;
  rows: number;
  bytes: number;
  verified: boolean;
  /** Why it is not verified. */
  fault: string;
  certificate: BackupCertificate | null;
}

export interface BackupPage {
  backups: Backup[];
  faults: { destination: string; code: string; message: string }[];
  cursor: string;
}

export interface BackupDestination {
  name: string;
  location: string;
  count: number;
  newest_at: string | null;
  newest_full_at: string | null;
  next_at: string | null;
  failures: number;
  failed_at: string | null;
  error_code: string;
  error: string;
}

export interface BackupSchedule {
  enabled: boolean;
  schedule: string;
  full_interval_seconds: number;
  retention_count: number;
  retention_age_seconds: number;
  state: "off" | "good" | "late" | "failed" | "unproven";
  next_at: string | null;
  newest_at: string | null;
  proven_at: string | null;
  count: number;
  destinations: BackupDestination[];
}

export interface BackupRun {
  id: string;
  node: string;
  kind: "backup" | "validation" | "restore";
  dry_run: boolean;
  /** Of a restore: how many secrets, by what was done with them. */
  secrets: Record<string, number>;
  requested_by: string;
  outcome: "running" | "succeeded" | "failed" | "cancelled";
  phase: string;
  destination: string;
  done: number;
  total: number | null;
  bytes: number;
  started_at: string;
  ended_at: string | null;
  error_code: string;
  error: string;
}

export interface RestoredSecret {
  name: string;
  action: "create" | "write" | "keep" | "skip" | "missing" | "failed";
  backup_version: number;
  current_version: number;
  written_version: number;
  error_code: string;
  note: string;
}

export interface RestoredPage {
  secrets: RestoredSecret[];
  cursor: string;
}

export type RotationState =
  | "planned"
  | "drafted"
  | "stored"
  | "applied"
  | "verified"
  | "current"
  | "adopted"
  | "retired"
  | "undoing"
  | "undone"
  | "stuck";

export interface Rotation {
  path: string;
  number: number;
  state: RotationState;
  rotator: string;
  cause: string;
  requested_by: string;
  /** The version that is replaced. */
  previous: number;
  /** The new version. 0 before it is current. */
  version: number;
  /** Failed attempts of the next step. */
  attempt: number;
  began_at: string | null;
  next_at: string | null;
  current_at: string | null;
  ended_at: string | null;
  error_code: string;
  error: string;
  /** How far the new version has come. Null if nobody has to fetch it. */
  adoption?: Adoption | null;
}

export interface Adoption {
  state: "waiting" | "adopted" | "unknown";
  /** Who has not fetched the new version yet. */
  laggards: string[];
  /** How many have fetched it. */
  fetched: number;
  reason: string;
}

export type LeaseState = "creating" | "active" | "revoking" | "irrevocable" | "revoked";

/** A user at a database that lives as long as the lease. */
export interface Lease {
  id: string;
  state: LeaseState;
  username: string;
  connection: string;
  owner_name: string;
  issued_at: string | null;
  renewed_at: string | null;
  expires_at: string | null;
  /** No renewal lasts longer. */
  max_expires_at: string | null;
  ended_at: string | null;
  /** When it expires, or its user is dropped next. */
  next_at: string | null;
  /** Failed attempts to drop the user. */
  attempt: number;
  /** Why it has ended. */
  reason: string;
  error: string;
}

export interface LeasePage {
  leases: Lease[];
  cursor: string;
}

export interface RotationPage {
  rotations: Rotation[];
  cursor: string;
}

export type RotationEvent = "failed" | "stuck" | "lagging" | "rotated";

export interface RotationPolicy {
  rotator: string;
  config: Record<string, unknown>;
  connection: string;
  enabled: boolean;
  interval: string | null;
  cron: string;
  window: string;
  /** 0: reads do not count. */
  max_reads: number;
  grace: string;
  /** `0s`: the grace period never ends early. */
  adoption_window: string;
  retry: { attempts: number; base: string; cap: string };
  /** Null: nobody is told. */
  notify: { channels: string[]; events: RotationEvent[] } | null;
}

/** How a secret is rotated. `source` is the secret or folder that the policy belongs to. */
export interface SecretRotation {
  source: string;
  policy: RotationPolicy | null;
  due_at: string | null;
  rotations: Rotation[];
}

export interface DueSecret {
  path: string;
  due_at: string | null;
}

export interface RotationPlan {
  secrets: DueSecret[];
  cursor: string;
}

export interface RotationOverview {
  paused: boolean;
  rotators: string[];
  policies: {
    path: string;
    policy: RotationPolicy;
    updated_at: string | null;
    updated_by: string;
  }[];
}

/** What came of one secret of a rotation of many. */
export interface RunItem {
  path: string;
  outcome: "ready" | "begun" | "refused";
  number: number;
  state: RotationState | "";
  code: string;
  message: string;
}

export interface RunResult {
  secrets: RunItem[];
  hidden: number;
  since: string;
  cursor: string;
}

/** A session of a person. */
export interface SessionEntry {
  accessor: string;
  method: string;
  /** The auth mount. Empty for a session of an API key or a token. */
  mount: string;
  browser: boolean;
  address: string;
  created_at: string;
  last_used: string;
  /** Whether this page's own. */
  current: boolean;
}

export interface Alias {
  id: string;
  name: string;
  mount_path: string;
  mount_type: string;
}

/** An entity in a list. */
export interface EntityLine {
  id: string;
  name: string;
  policies: string[];
  disabled: boolean;
  aliases: Alias[];
}

export interface Entity extends EntityLine {
  roles: string[];
  metadata: Record<string, string>;
  /** Ids. */
  groups: string[];
  inherited_groups: string[];
  created_at: string;
  updated_at: string;
  last_login: string | null;
}

/** A group in a list. `groups` and `parents` are ids. */
export interface GroupLine {
  id: string;
  name: string;
  type: "internal" | "external";
  policies: string[];
  groups: string[];
  parents: string[];
  created_at: string;
  updated_at: string;
}

export interface GroupDetails {
  group: GroupLine;
  /** Ids of entities. */
  members: string[];
  alias: Alias | null;
}
