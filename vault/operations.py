"""Every operation of the agent: its name, the type of its payload and the type of its result.

A handler is registered for one of these and a dialect asks for one of these, so mypy checks both
against the same line.
"""

from typing import Any, Final

from actors.tree import Node
from vault.audit.broker import BrokerState
from vault.audit.proof import Proof
from vault.audit.query import AuditPage, AuditQuery
from vault.audit.verification import VerificationState
from vault.authn.api_keys import ApiKey, CreatedKey
from vault.authn.cubbyhole import WrappedAnswer
from vault.authn.entities import AliasChange, EntityChange, EntityView
from vault.authn.groups import GroupChange, GroupView
from vault.authn.mfa.configuration import MethodWritten, StoredMethod
from vault.authn.mfa.enforcement import Enforcement
from vault.authn.mfa.second_factors import Enrolled, Generated, NewTotp, OwnFactors
from vault.authn.stream_subscriber import StreamSubscriber
from vault.authn.tokens import IssuedToken, NewToken
from vault.authz.access import Decision
from vault.authz.policy import Policy, ShownPolicy
from vault.authz.policy_conversion import Converted
from vault.authz.policy_store import Effective, PolicyNames
from vault.authz.tickets import ExplainedDenial
from vault.model.backup_runs import (
    BackupPage,
    CreateBackup,
    ListBackups,
    ListRestored,
    RestoredPage,
    RestoreSecrets,
    RunState,
    ScheduleState,
    SelectBackup,
    StoredBackup,
)
from vault.model.break_glass import BreakGlassState, MakeBreakGlassSet, NewBreakGlassSet
from vault.model.changes import AcknowledgeVersion, ChangesRead, ReadChanges
from vault.model.health import CacheState, HealthState, KeyStatus
from vault.model.link import CentralBundle, LinkStatus, SentPage, SentVerdict
from vault.model.link_ports import ActiveBundle
from vault.model.live_topics import TopicWatch
from vault.model.operation import OperationType
from vault.model.payloads import (
    AccessorSelector,
    ApplyBundle,
    BeginRotation,
    ChangeMembers,
    CheckCapabilities,
    CheckSource,
    CompareVersions,
    ConvertPolicy,
    CreateApiKey,
    CreateCredentials,
    CreateUser,
    DeleteEntities,
    DryRunAccess,
    EnableAuth,
    ExplainDenial,
    FindIdentity,
    FinishLogin,
    GrantAccess,
    HashAuditValue,
    KeepValue,
    LeaseSelector,
    ListApiKeys,
    ListEgress,
    ListEntries,
    ListIdentities,
    ListJwtRevocations,
    ListKeys,
    ListLeases,
    ListReaders,
    ListRotations,
    ListSecrets,
    ListUsers,
    LogIn,
    MalformedRequest,
    MergeEntities,
    MoveMount,
    NameFactor,
    Nothing,
    OpenSession,
    PatchSecret,
    PauseRotations,
    PlanRotations,
    ReadAuditRecord,
    ReadMetadata,
    ReadSecret,
    RefusedRequest,
    RefuseRotation,
    RenewLease,
    RenewToken,
    RevokeJwt,
    RevokeLease,
    RevokeLeases,
    RewrapDataKeys,
    RollbackSecret,
    RunAuthAction,
    ScheduleSecrets,
    SecretVersions,
    SelectEntry,
    SelectFactor,
    SelectRotations,
    SessionSelector,
    ShowFactor,
    StepLease,
    StepRotation,
    TokenSelector,
    TuneAuth,
    TuneMount,
    UnwrapAnswer,
    UpdateUser,
    WrapAnswer,
    WriteConnection,
    WriteDatabaseRole,
    WriteEntry,
    WriteGroupAlias,
    WriteMetadata,
    WriteMfaMethod,
    WriteMount,
    WritePolicy,
    WriteRole,
    WriteRotationPolicy,
    WriteSecret,
    WriteStaticRole,
)
from vault.model.policy_replay import PolicyReplayReport, ReplayPolicies
from vault.model.records import (
    AccessGrantRow,
    AuthEntryRow,
    AuthMountRow,
    ConnectionRow,
    DatabaseRoleRow,
    DynamicLeaseRow,
    EntityAliasRow,
    GroupAliasRow,
    GroupRow,
    MountMoveRow,
    MountRow,
    NodeRow,
    PolicyRow,
    RoleRow,
    RotationRow,
    SecretRow,
    TokenRow,
    UserRow,
)
from vault.model.results import (
    ActionResult,
    AliasWritten,
    BrowserSession,
    EntityWritten,
    Exposure,
    GroupAliasWritten,
    GroupWritten,
    IssuedCredentials,
    KeyList,
    KnownNode,
    LeasePage,
    ListedGroup,
    LockedLogins,
    OrphanedUsers,
    ReaderPage,
    RenewedLease,
    ResultantAcl,
    RevokedIdentity,
    RevokedLeases,
    RewrapStep,
    RoleWritten,
    RotationOverview,
    RotationPage,
    RotationPlan,
    RotationSelection,
    SecretConsumers,
    SecretInfo,
    SecretPage,
    SecretRotation,
    SecretValue,
    SecretWritten,
    SessionInfo,
    SourceCheck,
    StaticRole,
    StoredEntry,
    UnwrappedAnswer,
    UserWritten,
    VersionComparison,
)
from vault.model.root_key import (
    AttemptNonce,
    GenerateRootStatus,
    NewShares,
    RekeyResult,
    RekeyStatus,
    RenewedWrappings,
    RotatedRootKey,
    RotateRootKey,
    SealMigrationStatus,
    StartGenerateRoot,
    StartRekey,
    SubmitShare,
    VerificationStatus,
)
from vault.model.usage import (
    ExpiringReport,
    FindExpiring,
    ReportUsage,
    ResolveOpaqueId,
    UsageReport,
    Who,
)

# Secrets
READ_SECRET: Final = OperationType[ReadSecret, SecretValue]("secret.read")
WRITE_SECRET: Final = OperationType[WriteSecret, SecretWritten]("secret.write")
PATCH_SECRET: Final = OperationType[PatchSecret, SecretWritten]("secret.patch")
ROLL_BACK_SECRET: Final = OperationType[RollbackSecret, SecretWritten]("secret.rollback")
DELETE_VERSIONS: Final = OperationType[SecretVersions, SecretRow]("secret.delete")
UNDELETE_VERSIONS: Final = OperationType[SecretVersions, SecretRow]("secret.undelete")
DESTROY_VERSIONS: Final = OperationType[SecretVersions, SecretRow]("secret.destroy")
PURGE_SECRET: Final = OperationType[Nothing, SecretRow]("secret.purge")
REMOVE_SECRET: Final = OperationType[Nothing, SecretRow]("secret.remove")
LIST_SECRETS: Final = OperationType[ListSecrets, SecretPage]("secret.list")
LIST_SECRET_KEYS: Final = OperationType[ListKeys, KeyList]("secret.keys")
READ_CHANGES: Final = OperationType[ReadChanges, ChangesRead]("secret.changes")
ACKNOWLEDGE_VERSION: Final = OperationType[AcknowledgeVersion, SecretRow]("secret.acknowledge")
LIST_CONSUMERS: Final = OperationType[Nothing, SecretConsumers]("secret.consumers")
LIST_READERS: Final = OperationType[ListReaders, ReaderPage]("secret.readers")
READ_EXPOSURE: Final = OperationType[Nothing, Exposure]("identity.exposure")
REVOKE_IDENTITY: Final = OperationType[Nothing, RevokedIdentity]("identity.revoke")
READ_METADATA: Final = OperationType[ReadMetadata, SecretInfo]("secret.metadata.read")
COMPARE_METADATA: Final = OperationType[CompareVersions, VersionComparison]("secret.metadata.diff")
WRITE_METADATA: Final = OperationType[WriteMetadata, SecretRow]("secret.metadata.write")

# Mounts
LIST_MOUNTS: Final = OperationType[Nothing, list[MountRow]]("mount.list")
LIST_VISIBLE_MOUNTS: Final = OperationType[Nothing, list[MountRow]]("mount.visible")
RESOLVE_MOUNT: Final = OperationType[Nothing, MountRow]("mount.preflight")
READ_MOUNT: Final = OperationType[Nothing, MountRow]("mount.read")
WRITE_MOUNT: Final = OperationType[WriteMount, MountRow]("mount.write")
TUNE_MOUNT: Final = OperationType[TuneMount, MountRow]("mount.tune")
MOVE_MOUNT: Final = OperationType[MoveMount, MountMoveRow]("mount.move")
LIST_MOUNT_MOVES: Final = OperationType[Nothing, list[MountMoveRow]]("mount.moves")
READ_MOUNT_MOVE: Final = OperationType[Nothing, MountMoveRow]("mount.move_status")
DELETE_MOUNT: Final = OperationType[Nothing, None]("mount.delete")

# Dynamic credentials, in mounts of the type `database`
WRITE_CONNECTION: Final = OperationType[WriteConnection, ConnectionRow]("database.connection.write")
READ_CONNECTION: Final = OperationType[Nothing, ConnectionRow]("database.connection.read")
LIST_CONNECTIONS: Final = OperationType[Nothing, list[ConnectionRow]]("database.connection.list")
DELETE_CONNECTION: Final = OperationType[Nothing, None]("database.connection.delete")
WRITE_DATABASE_ROLE: Final = OperationType[WriteDatabaseRole, DatabaseRoleRow](
    "database.role.write"
)
READ_DATABASE_ROLE: Final = OperationType[Nothing, DatabaseRoleRow]("database.role.read")
LIST_DATABASE_ROLES: Final = OperationType[Nothing, list[DatabaseRoleRow]]("database.role.list")
DELETE_DATABASE_ROLE: Final = OperationType[Nothing, None]("database.role.delete")
ROTATE_CONNECTION: Final = OperationType[Nothing, Nothing]("database.connection.rotate")
CHECK_CONNECTION: Final = OperationType[Nothing, Nothing]("database.connection.check")
WRITE_STATIC_ROLE: Final = OperationType[WriteStaticRole, Nothing]("database.static_role.write")
READ_STATIC_ROLE: Final = OperationType[Nothing, StaticRole]("database.static_role.read")
LIST_STATIC_ROLES: Final = OperationType[Nothing, list[str]]("database.static_role.list")
DELETE_STATIC_ROLE: Final = OperationType[Nothing, None]("database.static_role.delete")
ROTATE_STATIC_ROLE: Final = OperationType[Nothing, Nothing]("database.static_role.rotate")
LIST_ORPHANS: Final = OperationType[Nothing, OrphanedUsers]("database.orphans.list")
DROP_ORPHANS: Final = OperationType[Nothing, OrphanedUsers]("database.orphans.drop")
SWEEP_USERS: Final = OperationType[Nothing, OrphanedUsers]("database.sweep")
CREATE_CREDENTIALS: Final = OperationType[CreateCredentials, IssuedCredentials](
    "credentials.create"
)
READ_LEASE: Final = OperationType[LeaseSelector, DynamicLeaseRow]("lease.read")
LIST_LEASES: Final = OperationType[ListLeases, LeasePage]("lease.list")
LIST_LEASE_KEYS: Final = OperationType[Nothing, KeyList]("lease.keys")
RENEW_LEASE: Final = OperationType[RenewLease, RenewedLease]("lease.renew")
REVOKE_LEASE: Final = OperationType[RevokeLease, DynamicLeaseRow | None]("lease.revoke")
REVOKE_LEASES: Final = OperationType[RevokeLeases, RevokedLeases]("lease.revoke_prefix")
TIDY_LEASES: Final = OperationType[Nothing, Nothing]("lease.tidy")
STEP_LEASE: Final = OperationType[StepLease, DynamicLeaseRow]("lease.step")

# Auth mounts, what their methods keep, and logins
LIST_AUTH: Final = OperationType[Nothing, list[AuthMountRow]]("auth.mount.list")
LIST_VISIBLE_AUTH: Final = OperationType[Nothing, list[AuthMountRow]]("auth.mount.visible")
READ_AUTH: Final = OperationType[Nothing, AuthMountRow]("auth.mount.read")
ENABLE_AUTH: Final = OperationType[EnableAuth, AuthMountRow]("auth.mount.enable")
TUNE_AUTH: Final = OperationType[TuneAuth, AuthMountRow]("auth.mount.tune")
MOVE_AUTH: Final = OperationType[MoveMount, MountMoveRow]("auth.mount.move")
DISABLE_AUTH: Final = OperationType[Nothing, None]("auth.mount.disable")
LIST_AUTH_ENTRIES: Final = OperationType[ListEntries, list[str]]("auth.entry.list")
READ_AUTH_ENTRY: Final = OperationType[SelectEntry, StoredEntry]("auth.entry.read")
WRITE_AUTH_ENTRY: Final = OperationType[WriteEntry, StoredEntry]("auth.entry.write")
DELETE_AUTH_ENTRY: Final = OperationType[SelectEntry, None]("auth.entry.delete")
READ_BY_AUTH_METHOD: Final = OperationType[RunAuthAction, ActionResult]("auth.action.read")
LIST_BY_AUTH_METHOD: Final = OperationType[RunAuthAction, ActionResult]("auth.action.list")
UPDATE_BY_AUTH_METHOD: Final = OperationType[RunAuthAction, ActionResult]("auth.action.update")
DELETE_BY_AUTH_METHOD: Final = OperationType[RunAuthAction, ActionResult]("auth.action.delete")
LIST_LOCKED_LOGINS: Final = OperationType[Nothing, list[LockedLogins]]("auth.lockout.list")
UNLOCK_LOGIN: Final = OperationType[SelectEntry, None]("auth.lockout.end")
BEGIN_LOGIN: Final = OperationType[RunAuthAction, ActionResult]("auth.login.begin")
LOG_IN: Final = OperationType[LogIn, IssuedToken]("auth.login")
BEGIN_LOGIN_PASSKEY: Final = OperationType[FinishLogin, dict[str, Any]]("auth.login.passkey")
FINISH_LOGIN: Final = OperationType[FinishLogin, IssuedToken]("auth.login.finish")

# Second factors: own ones, those of entities, methods and enforcements
LIST_OWN_FACTORS: Final = OperationType[Nothing, OwnFactors]("mfa.own.list")
SHOW_FACTOR: Final = OperationType[ShowFactor, TokenRow]("mfa.own.verify")
BEGIN_ASSERTION: Final = OperationType[Nothing, dict[str, Any]]("mfa.own.challenge")
BEGIN_TOTP: Final = OperationType[NameFactor, NewTotp]("mfa.own.begin_totp")
CONFIRM_TOTP: Final = OperationType[ShowFactor, Enrolled]("mfa.own.confirm_totp")
BEGIN_PASSKEY: Final = OperationType[Nothing, dict[str, Any]]("mfa.own.begin_passkey")
REGISTER_PASSKEY: Final = OperationType[NameFactor, Enrolled]("mfa.own.register_passkey")
REMOVE_FACTOR: Final = OperationType[ShowFactor, None]("mfa.own.remove")
RENEW_RECOVERY_CODES: Final = OperationType[ShowFactor, tuple[str, ...]]("mfa.own.recovery_codes")
GENERATE_OWN_FACTOR: Final = OperationType[SelectFactor, Generated]("mfa.own.generate")
LIST_FACTORS: Final = OperationType[SelectFactor, OwnFactors]("mfa.factor.list")
GENERATE_FACTOR: Final = OperationType[SelectFactor, Generated]("mfa.factor.generate")
DESTROY_FACTOR: Final = OperationType[SelectFactor, None]("mfa.factor.destroy")
LIST_MFA_METHODS: Final = OperationType[Nothing, list[StoredMethod]]("mfa.method.list")
READ_MFA_METHOD: Final = OperationType[Nothing, StoredMethod]("mfa.method.read")
WRITE_MFA_METHOD: Final = OperationType[WriteMfaMethod, MethodWritten]("mfa.method.write")
DELETE_MFA_METHOD: Final = OperationType[Nothing, None]("mfa.method.delete")
LIST_ENFORCEMENTS: Final = OperationType[Nothing, dict[str, Enforcement]]("mfa.enforcement.list")
READ_ENFORCEMENT: Final = OperationType[Nothing, Enforcement]("mfa.enforcement.read")
WRITE_ENFORCEMENT: Final = OperationType[Enforcement, Enforcement]("mfa.enforcement.write")
DELETE_ENFORCEMENT: Final = OperationType[Nothing, None]("mfa.enforcement.delete")

# Tokens of trusted issuers
REVOKE_JWT: Final = OperationType[RevokeJwt, AuthEntryRow]("jwt.revoke")
LIST_JWT_REVOCATIONS: Final = OperationType[ListJwtRevocations, list[AuthEntryRow]](
    "jwt.list_revocations"
)

# Policies
GRANT_ACCESS: Final = OperationType[GrantAccess, AccessGrantRow]("policy.grant")
LIST_GRANTS: Final = OperationType[Nothing, list[AccessGrantRow]]("policy.grants")
REVOKE_GRANT: Final = OperationType[Nothing, AccessGrantRow]("policy.revoke_grant")
CONVERT_POLICY: Final = OperationType[ConvertPolicy, Converted]("policy.convert")
READ_HELP: Final = OperationType[Nothing, None]("sys.help")
READ_RESULTANT_ACL: Final = OperationType[Nothing, ResultantAcl]("policy.resultant")
LIST_POLICIES: Final = OperationType[Nothing, PolicyNames]("policy.list")
READ_POLICY: Final = OperationType[Nothing, ShownPolicy]("policy.read")
VALIDATE_POLICY: Final = OperationType[WritePolicy, Policy]("policy.validate")
WRITE_POLICY: Final = OperationType[WritePolicy, PolicyRow]("policy.write")
DELETE_POLICY: Final = OperationType[Nothing, None]("policy.delete")
READ_EFFECTIVE_POLICIES: Final = OperationType[Nothing, Effective]("policy.effective")
CHECK_ACCESS: Final = OperationType[DryRunAccess, Decision]("policy.check")
CHECK_OWN_CAPABILITIES: Final = OperationType[CheckCapabilities, dict[str, list[str]]](
    "policy.own_capabilities"
)
CHECK_CAPABILITIES: Final = OperationType[CheckCapabilities, dict[str, list[str]]](
    "policy.capabilities"
)
EXPLAIN_DENIAL: Final = OperationType[ExplainDenial, ExplainedDenial]("policy.explain")
DRY_RUN_ACCESS: Final = OperationType[DryRunAccess, Decision]("policy.dry_run")
REPLAY_POLICIES: Final = OperationType[ReplayPolicies, PolicyReplayReport]("policy.replay")

# Tokens
CREATE_TOKEN: Final = OperationType[NewToken, IssuedToken]("token.create")
LOOK_UP_TOKEN: Final = OperationType[TokenSelector, IssuedToken]("token.lookup")
LOOK_UP_OWN_TOKEN: Final = OperationType[Nothing, IssuedToken]("token.lookup_self")
LOOK_UP_ACCESSOR: Final = OperationType[AccessorSelector, IssuedToken]("token.lookup_accessor")
LIST_ACCESSORS: Final = OperationType[Nothing, list[str]]("token.accessors")
RENEW_TOKEN: Final = OperationType[RenewToken, IssuedToken]("token.renew")
RENEW_OWN_TOKEN: Final = OperationType[RenewToken, IssuedToken]("token.renew_self")
RENEW_ACCESSOR: Final = OperationType[RenewToken, IssuedToken]("token.renew_accessor")
REVOKE_TOKEN: Final = OperationType[TokenSelector, TokenRow | None]("token.revoke")
REVOKE_OWN_TOKEN: Final = OperationType[Nothing, TokenRow]("token.revoke_self")
REVOKE_ACCESSOR: Final = OperationType[AccessorSelector, TokenRow]("token.revoke_accessor")
REVOKE_ORPHAN: Final = OperationType[TokenSelector, TokenRow]("token.revoke_orphan")

# Cubbyholes and wrapped answers
READ_CUBBYHOLE: Final = OperationType[Nothing, bytes]("cubbyhole.read")
LIST_CUBBYHOLE: Final = OperationType[Nothing, list[str]]("cubbyhole.list")
WRITE_CUBBYHOLE: Final = OperationType[KeepValue, None]("cubbyhole.write")
DELETE_CUBBYHOLE: Final = OperationType[Nothing, None]("cubbyhole.delete")
WRAP_VALUE: Final = OperationType[Nothing, None]("wrapping.wrap_value")
WRAP_ANSWER: Final = OperationType[WrapAnswer, WrappedAnswer]("wrapping.wrap")
UNWRAP: Final = OperationType[UnwrapAnswer, UnwrappedAnswer]("wrapping.unwrap")
UNWRAP_OWN: Final = OperationType[Nothing, UnwrappedAnswer]("wrapping.unwrap_own")
REWRAP: Final = OperationType[UnwrapAnswer, WrappedAnswer]("wrapping.rewrap")
LOOK_UP_WRAPPING: Final = OperationType[TokenSelector, WrappedAnswer]("wrapping.lookup")

# Browser sessions and live feeds
OPEN_SESSION: Final = OperationType[OpenSession, BrowserSession]("session.open")
READ_SESSION: Final = OperationType[Nothing, BrowserSession]("session.current")
RENEW_SESSION: Final = OperationType[Nothing, BrowserSession]("session.renew")
CLOSE_SESSION: Final = OperationType[Nothing, BrowserSession]("session.close")
LIST_SESSIONS: Final = OperationType[Nothing, list[SessionInfo]]("session.list")
REVOKE_SESSION: Final = OperationType[SessionSelector, None]("session.revoke")
LIST_USER_SESSIONS: Final = OperationType[Nothing, list[SessionInfo]]("session.list_of_user")
REVOKE_USER_SESSION: Final = OperationType[SessionSelector, None]("session.revoke_of_user")
REFUSE_SESSION: Final = OperationType[dict[str, str], None]("session.refuse")
OPEN_FEED: Final = OperationType[Nothing, StreamSubscriber]("live.open")
WATCH_TOPIC: Final = OperationType[StreamSubscriber, TopicWatch]("live.watch")

# Users and API keys
LIST_USERS: Final = OperationType[ListUsers, list[UserRow]]("user.list")
READ_USER: Final = OperationType[Nothing, UserRow]("user.read")
CREATE_USER: Final = OperationType[CreateUser, UserWritten]("user.create")
UPDATE_USER: Final = OperationType[UpdateUser, UserWritten]("user.update")
DELETE_USER: Final = OperationType[Nothing, None]("user.delete")

# One identity: entities are users
LIST_ENTITIES: Final = OperationType[ListIdentities, list[EntityView]]("entity.list")
READ_ENTITY: Final = OperationType[Nothing, EntityView]("entity.read")
FIND_ENTITY: Final = OperationType[FindIdentity, EntityView | None]("entity.find")
CREATE_ENTITY: Final = OperationType[EntityChange, EntityWritten]("entity.create")
WRITE_ENTITY: Final = OperationType[EntityChange, EntityWritten]("entity.write")
DELETE_ENTITY: Final = OperationType[Nothing, UserRow]("entity.delete")
DELETE_ENTITIES: Final = OperationType[DeleteEntities, None]("entity.delete_many")
MERGE_ENTITIES: Final = OperationType[MergeEntities, UserRow]("entity.merge")
LIST_ALIASES: Final = OperationType[ListIdentities, list[EntityAliasRow]]("alias.list")
READ_ALIAS: Final = OperationType[Nothing, EntityAliasRow]("alias.read")
WRITE_ALIAS: Final = OperationType[AliasChange, AliasWritten]("alias.write")
DELETE_ALIAS: Final = OperationType[Nothing, None]("alias.delete")
CHECK_SOURCE: Final = OperationType[CheckSource, SourceCheck]("alias.check_source")
LIST_GROUPS: Final = OperationType[ListIdentities, list[ListedGroup]]("group.list")
READ_GROUP: Final = OperationType[Nothing, GroupView]("group.read")
FIND_GROUP: Final = OperationType[FindIdentity, GroupView | None]("group.find")
CREATE_GROUP: Final = OperationType[GroupChange, GroupWritten]("group.create")
WRITE_GROUP: Final = OperationType[GroupChange, GroupWritten]("group.write")
CHANGE_MEMBERS: Final = OperationType[ChangeMembers, GroupRow]("group.members")
DELETE_GROUP: Final = OperationType[Nothing, GroupRow]("group.delete")
LIST_GROUP_ALIASES: Final = OperationType[ListIdentities, list[GroupAliasRow]]("group_alias.list")
READ_GROUP_ALIAS: Final = OperationType[Nothing, GroupAliasRow]("group_alias.read")
WRITE_GROUP_ALIAS: Final = OperationType[WriteGroupAlias, GroupAliasWritten]("group_alias.write")
DELETE_GROUP_ALIAS: Final = OperationType[Nothing, None]("group_alias.delete")

# Roles
LIST_ROLES: Final = OperationType[Nothing, list[RoleRow]]("role.list")
READ_ROLE: Final = OperationType[Nothing, RoleRow]("role.read")
WRITE_ROLE: Final = OperationType[WriteRole, RoleWritten]("role.write")
DELETE_ROLE: Final = OperationType[Nothing, None]("role.delete")
LIST_API_KEYS: Final = OperationType[ListApiKeys, list[ApiKey]]("key.list")
READ_API_KEY: Final = OperationType[Nothing, ApiKey]("key.read")
CREATE_API_KEY: Final = OperationType[CreateApiKey, CreatedKey]("key.create")
REVOKE_API_KEY: Final = OperationType[Nothing, None]("key.revoke")

# The audit log
QUERY_AUDIT: Final = OperationType[AuditQuery, AuditPage]("audit.query")
PROVE_AUDIT_RECORD: Final = OperationType[ReadAuditRecord, Proof]("audit.proof")
READ_AUDIT_STATUS: Final = OperationType[Nothing, BrokerState]("audit.status")
VERIFY_AUDIT: Final = OperationType[Nothing, VerificationState]("audit.verify")
READ_AUDIT_VERIFICATION: Final = OperationType[Nothing, VerificationState]("audit.verification")
HASH_AUDIT_VALUE: Final = OperationType[HashAuditValue, str]("audit.hash")

# Usage
REPORT_USAGE: Final = OperationType[ReportUsage, UsageReport]("usage.look")
RESOLVE_OPAQUE_ID: Final = OperationType[ResolveOpaqueId, Who]("usage.who")
FIND_EXPIRING: Final = OperationType[FindExpiring, ExpiringReport]("usage.expiring")

# The agent
SEAL: Final = OperationType[Nothing, None]("sys.seal")
ROTATE_KEY: Final = OperationType[Nothing, int]("sys.rotate")
REWRAP_DATA_KEYS: Final = OperationType[RewrapDataKeys | Nothing, RewrapStep]("sys.rewrap")
RETIRE_KEYS: Final = OperationType[Nothing, list[int]]("sys.retire_keys")
READ_KEY_STATUS: Final = OperationType[Nothing, KeyStatus]("sys.key_status")
READ_ACTORS: Final = OperationType[Nothing, Node]("sys.tree")
WRITE_ROTATION_POLICY: Final = OperationType[WriteRotationPolicy, Nothing]("rotation.policy.write")
SCHEDULE_SECRETS: Final = OperationType[ScheduleSecrets, int]("rotation.schedule")
READ_ROTATION: Final = OperationType[Nothing, SecretRotation]("rotation.read")
BEGIN_ROTATION: Final = OperationType[BeginRotation, RotationRow | None]("rotation.begin")
SELECT_ROTATIONS: Final = OperationType[SelectRotations, RotationSelection]("rotation.select")
LIST_ROTATIONS: Final = OperationType[ListRotations, RotationPage]("rotation.list")
PLAN_ROTATIONS: Final = OperationType[PlanRotations, RotationPlan]("rotation.plan")
READ_ROTATIONS: Final = OperationType[Nothing, RotationOverview]("rotation.overview")
PAUSE_ROTATIONS: Final = OperationType[PauseRotations, Nothing]("rotation.pause")
STEP_ROTATION: Final = OperationType[StepRotation, RotationRow]("rotation.step")
REFUSE_ROTATION: Final = OperationType[RefuseRotation, RotationRow | None]("rotation.refuse")
RESUME_ROTATION: Final = OperationType[Nothing, RotationRow]("rotation.resume")
ABANDON_ROTATION: Final = OperationType[Nothing, RotationRow]("rotation.abandon")
UNDO_ROTATION: Final = OperationType[Nothing, RotationRow]("rotation.undo")
LIST_NODES: Final = OperationType[Nothing, list[KnownNode]]("sys.nodes.list")
FORGET_NODE: Final = OperationType[Nothing, NodeRow]("sys.nodes.forget")
READ_CACHE: Final = OperationType[Nothing, CacheState]("sys.cache")
READ_HEALTH: Final = OperationType[Nothing, HealthState]("sys.health")

# Backups
LIST_BACKUPS: Final = OperationType[ListBackups, BackupPage]("backup.list")
READ_BACKUP: Final = OperationType[SelectBackup, StoredBackup]("backup.read")
CREATE_BACKUP: Final = OperationType[CreateBackup, RunState]("backup.create")
VALIDATE_BACKUP: Final = OperationType[SelectBackup, RunState]("backup.validate")
RESTORE_BACKUP: Final = OperationType[RestoreSecrets, RunState]("backup.restore")
DELETE_BACKUP: Final = OperationType[SelectBackup, StoredBackup]("backup.delete")
READ_BACKUP_SCHEDULE: Final = OperationType[Nothing, ScheduleState]("backup.schedule")
LIST_BACKUP_RUNS: Final = OperationType[Nothing, tuple[RunState, ...]]("backup.runs.list")
READ_BACKUP_RUN: Final = OperationType[Nothing, RunState]("backup.runs.read")
LIST_RESTORED: Final = OperationType[ListRestored, RestoredPage]("backup.runs.secrets")
CANCEL_BACKUP_RUN: Final = OperationType[Nothing, RunState]("backup.runs.cancel")

# The root key
READ_GENERATE_ROOT: Final = OperationType[Nothing, GenerateRootStatus]("sys.generate_root.read")
START_GENERATE_ROOT: Final = OperationType[StartGenerateRoot, GenerateRootStatus](
    "sys.generate_root.begin"
)
SUBMIT_GENERATE_ROOT_SHARE: Final = OperationType[SubmitShare, GenerateRootStatus](
    "sys.generate_root.offer"
)
CANCEL_GENERATE_ROOT: Final = OperationType[Nothing, None]("sys.generate_root.cancel")
READ_REKEY: Final = OperationType[Nothing, RekeyStatus]("sys.rekey.read")
START_REKEY: Final = OperationType[StartRekey, RekeyStatus]("sys.rekey.begin")
SUBMIT_REKEY_SHARE: Final = OperationType[SubmitShare, RekeyStatus | NewShares]("sys.rekey.offer")
COMMIT_REKEY: Final = OperationType[AttemptNonce, RekeyResult]("sys.rekey.commit")
CANCEL_REKEY: Final = OperationType[Nothing, None]("sys.rekey.cancel")
READ_REKEY_VERIFICATION: Final = OperationType[Nothing, VerificationStatus]("sys.rekey.verify.read")
SUBMIT_VERIFICATION_SHARE: Final = OperationType[SubmitShare, VerificationStatus](
    "sys.rekey.verify.offer"
)
RESTART_VERIFICATION: Final = OperationType[Nothing, VerificationStatus]("sys.rekey.verify.restart")
READ_BREAK_GLASS: Final = OperationType[Nothing, BreakGlassState]("sys.break_glass.read")
MAKE_BREAK_GLASS_SET: Final = OperationType[MakeBreakGlassSet, NewBreakGlassSet](
    "sys.break_glass.make"
)
REVOKE_BREAK_GLASS_SET: Final = OperationType[Nothing, BreakGlassState]("sys.break_glass.revoke")
ROTATE_ROOT_KEY: Final = OperationType[RotateRootKey, RotatedRootKey]("sys.rotate_root")
RENEW_WRAPPINGS: Final = OperationType[Nothing, RenewedWrappings]("sys.renew_wrappings")
READ_SEAL_MIGRATION: Final = OperationType[Nothing, SealMigrationStatus](
    "sys.seal_migration.status"
)
MIGRATE_SEAL: Final = OperationType[SubmitShare, SealMigrationStatus]("sys.seal_migration.update")
CANCEL_SEAL_MIGRATION: Final = OperationType[Nothing, None]("sys.seal_migration.cancel")
UNSEAL_MIGRATE: Final = OperationType[SubmitShare, SealMigrationStatus]("sys.unseal.migrate")
"""As `MIGRATE_SEAL`, by whoever has the shares."""

# The control plane
APPLY_BUNDLE: Final = OperationType[ApplyBundle, ActiveBundle]("fleet.apply")
READ_BUNDLE: Final = OperationType[Nothing, CentralBundle]("fleet.bundle")
RESET_BUNDLE: Final = OperationType[Nothing, CentralBundle]("fleet.reset")
READ_LINK: Final = OperationType[Nothing, LinkStatus]("fleet.link")
LIST_EGRESS: Final = OperationType[ListEgress, SentPage]("fleet.sent")
VERIFY_EGRESS: Final = OperationType[Nothing, SentVerdict]("fleet.sent_verify")

# Requests that are no operation: the result is that they are refused
MALFORMED_REQUEST: Final = OperationType[MalformedRequest, None]("request.malformed")
REFUSED_REQUEST: Final = OperationType[RefusedRequest, None]("request.refused")
