"""The closed lists of words on the link. A new word is a new version of the link.

A list that version 1 has does not grow: what it says waits in outboxes, whoever comes for it.
"""

from enum import StrEnum, unique
from typing import Final


@unique
class Platform(StrEnum):
    """What the agent runs on."""

    LINUX_AMD64 = "linux_amd64"
    LINUX_ARM64 = "linux_arm64"
    OTHER = "other"


@unique
class Backend(StrEnum):
    """What the agent stores in."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    MYSQL = "mysql"


@unique
class KeyHolder(StrEnum):
    """What guards the agent's root key."""

    FILE = "file"
    SHAMIR = "shamir"
    PKCS11 = "pkcs11"
    CLOUD = "cloud"


@unique
class Health(StrEnum):
    """Whether the agent serves."""

    SERVING = "serving"
    SEALED = "sealed"
    REFUSING = "refusing"
    """Up, but refusing: audit, store or disk does not accept."""


@unique
class SyncPhase(StrEnum):
    """The agent's own view of its link, as the design's diagram has it."""

    ONLINE = "online"
    SYNCING = "syncing"
    OFFLINE = "offline"
    QUEUEING = "queueing"


@unique
class CounterName(StrEnum):
    """Totals since the agent was started."""

    REQUESTS = "requests"
    READS = "reads"
    WRITES = "writes"
    DELETES = "deletes"
    LISTS = "lists"
    LOGINS = "logins"
    LOGIN_FAILURES = "login_failures"
    DENIALS = "denials"
    RATE_LIMITED = "rate_limited"
    CLIENT_ERRORS = "client_errors"
    SERVER_ERRORS = "server_errors"
    AUDIT_RECORDS = "audit_records"
    AUDIT_REFUSALS = "audit_refusals"
    ROTATIONS = "rotations"
    ROTATION_FAILURES = "rotation_failures"
    BACKUPS = "backups"
    BACKUP_FAILURES = "backup_failures"
    ACTOR_RESTARTS = "actor_restarts"
    POLICY_DENIALS = "policy_denials"


@unique
class GaugeName(StrEnum):
    """States at the end of the window."""

    ACTIVE_CONNECTIONS = "active_connections"
    CACHE_HIT_PERMILLE = "cache_hit_permille"
    CACHE_BYTES = "cache_bytes"
    SEALED = "sealed"
    SECRETS = "secrets"
    SECRETS_EXPIRING = "secrets_expiring"
    ROTATIONS_DUE = "rotations_due"
    USERS = "users"
    API_KEYS = "api_keys"
    STORE_BYTES = "store_bytes"
    AUDIT_BYTES = "audit_bytes"
    DISK_FREE_BYTES = "disk_free_bytes"
    MEMORY_BYTES = "memory_bytes"
    CPU_PERMILLE = "cpu_permille"
    AUDIT_SINKS_FAILING = "audit_sinks_failing"
    OUTBOX_MESSAGES = "outbox_messages"
    OUTBOX_BYTES = "outbox_bytes"


@unique
class HistogramName(StrEnum):
    """Times, as totals since the agent was started."""

    REQUEST_DURATION = "request_duration"
    AUDIT_COMMIT = "audit_commit"
    STORE_COMMIT = "store_commit"


BUCKETS_US: Final = (
    *(5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000),
    *(1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000),
)
"""Upper bounds of a histogram's buckets in microseconds: prometheus-client's defaults. One bucket
more counts what is above."""


@unique
class AlertCode(StrEnum):
    """What an agent raises."""

    AUDIT_SINK_FAILED = "audit_sink_failed"
    AUDIT_TAMPERED = "audit_tampered"
    STORE_TAMPERED = "store_tampered"
    STORE_ROLLED_BACK = "store_rolled_back"
    STORE_FAILED = "store_failed"
    DISK_LOW = "disk_low"
    SEALED = "sealed"
    UNSEALED = "unsealed"
    LOCKOUT = "lockout"
    SECRET_EXPIRING = "secret_expiring"
    SECRET_EXPIRED = "secret_expired"
    ROTATION_FAILED = "rotation_failed"
    CERTIFICATE_EXPIRING = "certificate_expiring"
    CLOCK_SET_BACK = "clock_set_back"
    POLICY_REFUSED = "policy_refused"
    POLICY_EXPIRED = "policy_expired"
    METRICS_DROPPED = "metrics_dropped"


WARNINGS: Final = frozenset(
    {
        AlertCode.DISK_LOW,
        AlertCode.CLOCK_SET_BACK,
        AlertCode.POLICY_EXPIRED,
        AlertCode.CERTIFICATE_EXPIRING,
        AlertCode.LOCKOUT,
        AlertCode.ROTATION_FAILED,
    }
)
"""Codes that are neither an outage nor a sign of tampering. Both ends go by this for what
`conditions` lists, so that its severity does not depend on which message comes first."""


@unique
class WorkersState(StrEnum):
    """How an agent's worker processes do. Of version 4."""

    STEADY = "steady"
    FAILING = "failing"
    """They end again and again; the agent replaces each, and serves."""


@unique
class KeyProvidersState(StrEnum):
    """How the key providers do that unseal an agent. Of version 8."""

    STEADY = "steady"
    FAILING = "failing"
    """One or more do not do what they are asked to: the agent might not be unsealed again."""


@unique
class BackupState(StrEnum):
    """How a vault's backups do: the worst that applies. Of version 6."""

    OFF = "off"
    """No schedule makes backups."""
    GOOD = "good"
    LATE = "late"
    """The newest one is older than the schedule allows."""
    FAILED = "failed"
    """The last attempt failed."""
    UNPROVEN = "unproven"
    """No restore has proven a recent one."""


@unique
class RotationEvent(StrEnum):
    """What people can be told of a secret's rotation. Of version 7."""

    FAILED = "failed"
    """It was undone, and applications go on with the old value."""
    STUCK = "stuck"
    """It waits for a person."""
    LAGGING = "lagging"
    """Half of the grace period is over, and an application has not fetched the new value."""
    ROTATED = "rotated"
    """The new value is current."""


@unique
class Severity(StrEnum):
    """How soon somebody should look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@unique
class PolicyPhase(StrEnum):
    """Where a bundle is at an agent."""

    RECEIVED = "received"
    APPLIED = "applied"
    REFUSED = "refused"


@unique
class PolicyReason(StrEnum):
    """Why a bundle was refused; `none` otherwise. The first are `protocols.link.bundle`'s."""

    NONE = "none"
    SIZE = "size"
    SIGNATURE = "signature"
    MALFORMED = "malformed"
    NOT_CANONICAL = "not_canonical"
    WRONG_ORG = "wrong_org"
    WRONG_VAULT = "wrong_vault"
    OLDER = "older"
    EQUIVOCATION = "equivocation"
    BROKEN_CHAIN = "broken_chain"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    INVALID_RULE = "invalid_rule"
    ABOVE_CEILING = "above_ceiling"
    STORE_FAILED = "store_failed"


@unique
class CommandName(StrEnum):
    """What a control plane may ask for; each agent may still refuse. None takes an argument."""

    SEND_METRICS = "send_metrics"
    SEND_CHECKPOINT = "send_checkpoint"
    SEND_POLICY_STATUS = "send_policy_status"
    RENEW_CERTIFICATE = "renew_certificate"
    ROTATE_KEK = "rotate_kek"
    RUN_BACKUP = "run_backup"


@unique
class CommandOutcome(StrEnum):
    """What became of a command."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"
    EXPIRED = "expired"


@unique
class NotificationCode(StrEnum):
    """What a control plane tells an agent's operator."""

    POLICY_PENDING = "policy_pending"
    CERTIFICATE_EXPIRING = "certificate_expiring"
    AUTHORITY_CHANGING = "authority_changing"
    VAULT_LOCKED = "vault_locked"
    VAULT_RETIRED = "vault_retired"
    AUDIT_FORK = "audit_fork"
    AUDIT_ROLLBACK = "audit_rollback"
    RELEASE_AVAILABLE = "release_available"


@unique
class ActorName(StrEnum):
    """The agent's actors, as its program names them; what is not listed is `other`."""

    AGENT = "agent"
    AUDIT = "audit"
    STORE = "store"
    WORK = "work"
    WRITER = "writer"
    LOADER = "loader"
    ACCESS_COUNTS = "access-counts"
    CREDENTIAL_USAGE = "credential-usage"
    EXPIRED_TOKENS = "expired-tokens"
    CLOCK = "clock"
    KEY_ROTATION = "key-rotation"
    REFUSED_AUTHENTICATIONS = "refused-authentications"
    OTHER = "other"


@unique
class ActorState(StrEnum):
    """Where an actor is in its life."""

    DOWN = "down"
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    DONE = "done"


@unique
class OperationName(StrEnum):
    """The agent's operations, as its table names them; what is not listed is `other`."""

    AUDIT_HASH = "audit.hash"
    AUDIT_PROOF = "audit.proof"
    AUDIT_QUERY = "audit.query"
    AUDIT_STATUS = "audit.status"
    AUDIT_VERIFICATION = "audit.verification"
    AUDIT_VERIFY = "audit.verify"
    FLEET_APPLY = "fleet.apply"
    FLEET_LINK = "fleet.link"
    FLEET_SENT = "fleet.sent"
    FLEET_SENT_VERIFY = "fleet.sent_verify"
    KEY_CREATE = "key.create"
    KEY_LIST = "key.list"
    KEY_READ = "key.read"
    KEY_REVOKE = "key.revoke"
    LIVE_OPEN = "live.open"
    LIVE_WATCH = "live.watch"
    MOUNT_DELETE = "mount.delete"
    MOUNT_LIST = "mount.list"
    MOUNT_PREFLIGHT = "mount.preflight"
    MOUNT_READ = "mount.read"
    MOUNT_TUNE = "mount.tune"
    MOUNT_VISIBLE = "mount.visible"
    MOUNT_WRITE = "mount.write"
    POLICY_DELETE = "policy.delete"
    POLICY_DRY_RUN = "policy.dry_run"
    POLICY_EFFECTIVE = "policy.effective"
    POLICY_LIST = "policy.list"
    POLICY_READ = "policy.read"
    POLICY_WRITE = "policy.write"
    ROLE_DELETE = "role.delete"
    ROLE_LIST = "role.list"
    ROLE_READ = "role.read"
    ROLE_WRITE = "role.write"
    SECRET_DELETE = "secret.delete"
    SECRET_DESTROY = "secret.destroy"
    SECRET_KEYS = "secret.keys"
    SECRET_LIST = "secret.list"
    SECRET_METADATA_READ = "secret.metadata.read"
    SECRET_METADATA_WRITE = "secret.metadata.write"
    SECRET_PATCH = "secret.patch"
    SECRET_PURGE = "secret.purge"
    SECRET_READ = "secret.read"
    SECRET_REMOVE = "secret.remove"
    SECRET_ROLLBACK = "secret.rollback"
    SECRET_UNDELETE = "secret.undelete"
    SECRET_WRITE = "secret.write"
    SESSION_CLOSE = "session.close"
    SESSION_CURRENT = "session.current"
    SESSION_OPEN = "session.open"
    SESSION_REFUSE = "session.refuse"
    SESSION_RENEW = "session.renew"
    SYS_CACHE = "sys.cache"
    SYS_KEY_STATUS = "sys.key_status"
    SYS_REWRAP = "sys.rewrap"
    SYS_ROTATE = "sys.rotate"
    SYS_SEAL = "sys.seal"
    SYS_TREE = "sys.tree"
    TOKEN_ACCESSORS = "token.accessors"
    TOKEN_CREATE = "token.create"
    TOKEN_LOOKUP = "token.lookup"
    TOKEN_LOOKUP_ACCESSOR = "token.lookup_accessor"
    TOKEN_LOOKUP_SELF = "token.lookup_self"
    TOKEN_RENEW = "token.renew"
    TOKEN_RENEW_ACCESSOR = "token.renew_accessor"
    TOKEN_RENEW_SELF = "token.renew_self"
    TOKEN_REVOKE = "token.revoke"
    TOKEN_REVOKE_ACCESSOR = "token.revoke_accessor"
    TOKEN_REVOKE_ORPHAN = "token.revoke_orphan"
    TOKEN_REVOKE_SELF = "token.revoke_self"
    USAGE_EXPIRING = "usage.expiring"
    USAGE_LOOK = "usage.look"
    USAGE_WHO = "usage.who"
    USER_CREATE = "user.create"
    USER_DELETE = "user.delete"
    USER_LIST = "user.list"
    USER_READ = "user.read"
    USER_UPDATE = "user.update"
    OTHER = "other"


_OF_THE_PROGRAM: Final = frozenset({"audit", "fleet", "live", "session", "sys", "usage", "other"})
SYSTEM_OPERATIONS: Final = frozenset(
    name for name in OperationName if name.partition(".")[0] in _OF_THE_PROGRAM
)
"""Those of the program itself and of its pages: health, link, live feed, records, the counting of
usage. They are load, but no use of secrets."""

USAGE_DAYS: Final = (1, 7, 30, 90, 180, 365)
"""Upper bounds, in days, of the classes in which a `Usage` counts secrets. One more is above."""


@unique
class ReplayOutcome(StrEnum):
    """What became of a replay. Of version 2."""

    DONE = "done"
    REFUSED = "refused"
    """The agent's owner does not answer these."""
    TOO_MANY = "too_many"
    """More than the agent answers in an hour."""
    INVALID = "invalid"
    """The agent does not understand a document of it."""
    EXPIRED = "expired"
    UNAVAILABLE = "unavailable"
    """The agent cannot now: sealed, or store or audit log are away."""


@unique
class UndecidedReason(StrEnum):
    """Why an access on record cannot be decided again (reference/policies.md). Of version 2."""

    CREDENTIAL_GONE = "credential_gone"
    SECRET_CHANGED = "secret_changed"
    RECORD_CUT = "record_cut"


@unique
class SkipReason(StrEnum):
    """Why ids never come."""

    DROPPED = "dropped"
    """The sender let droppable messages go: its outbox was full, or newer ones replaced them."""
    ACKNOWLEDGED = "acknowledged"
    """The receiver had acknowledged them, the sender has deleted them: the receiver went back."""


@unique
class ByeReason(StrEnum):
    """Why a peer ends the session in order."""

    SHUTDOWN = "shutdown"
    RESTART = "restart"
    OVERLOAD = "overload"
    REPLACED = "replaced"
    """A newer session of the same vault took over."""
    LOCKED = "locked"
    RENEWED = "renewed"
    """The agent comes back with a new certificate."""
