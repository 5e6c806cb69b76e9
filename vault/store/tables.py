"""The tables of a vault, parents before those that refer to them."""

from typing import Any, Final

from vault.model import records
from vault.store.table import Table

SCHEMA_LEVEL: Final = 18
"""The last migration that this program knows. See `NodeRow.level`."""
MFA_LEVEL: Final = 16
SESSIONS_LEVEL: Final = 17
SYSTEM: Final = Table("system", records.SystemRow, ("name",))
HEAD_ROW: Final = "mark"
"""Of `SYSTEM`: every transaction of an open vault changes it, so whoever has it locked is the only
one who commits."""
MOUNTS: Final = Table(
    "mounts",
    records.MountRow,
    ("path",),
    texts=("description",),
    column_levels={"default_lease_ttl": 18, "max_lease_ttl": 18},
)
SECRETS: Final = Table(
    "secrets",
    records.SecretRow,
    ("name",),
    unique=("id",),
    indexes=("expires_at", "rotation_due"),
    many=True,
    has_folders=True,
    identity="id",
)
VERSIONS: Final = Table(
    "secret_versions",
    records.VersionRow,
    ("secret_id", "version"),
    references={"secret_id": (SECRETS, "id")},
    many=True,
)
ACCESS: Final = Table(
    "secret_access",
    records.AccessRow,
    ("secret_id",),
    sums=("value_reads", "metadata_reads"),
    latest=("last_value_read", "last_metadata_read"),
    about=((SECRETS, "id"),),
)
USERS: Final = Table("users", records.UserRow, ("id",), unique=("name_key",))
ROLES: Final = Table("roles", records.RoleRow, ("name",), texts=("description",))
API_KEYS: Final = Table(
    "api_keys",
    records.ApiKeyRow,
    ("id",),
    indexes=("user_id",),
    references={"user_id": (USERS, "id")},
)
TOKENS: Final = Table(
    "tokens",
    records.TokenRow,
    ("id",),
    unique=("accessor",),
    indexes=("parent", "user_id", "expires_at"),
    column_levels={"mfa_at": MFA_LEVEL, "session": SESSIONS_LEVEL},
)
CUBBYHOLE: Final = Table("cubbyhole", records.CubbyholeRow, ("token_id", "path"), cached=False)
SESSIONS: Final = Table(
    "sessions",
    records.SessionRow,
    ("token_id",),
    indexes=("user_id", "idle_until"),
    level=SESSIONS_LEVEL,
)
POLICIES: Final = Table("policies", records.PolicyRow, ("name",))
USAGE: Final = Table(
    "credential_usage",
    records.UsageRow,
    ("credential_id",),
    sums=("uses",),
    latest=("last_used",),
    about=((TOKENS, "accessor"), (API_KEYS, "id")),
)
NODES: Final = Table("nodes", records.NodeRow, ("id",), texts=("place", "checkpoint"))
CHANGES: Final = Table("changes", records.ChangeRow, ("seq",), cached=False)
LEASES: Final = Table("leases", records.LeaseRow, ("name",))
AUDIT: Final = Table("audit_blocks", records.BlockRow, ("log", "first"), cached=False)

ROTATIONS: Final = Table(
    "rotations",
    records.RotationRow,
    ("secret_id", "number"),
    texts=("error",),
    indexes=("next_at", "state"),
    references={"secret_id": (SECRETS, "id")},
)
FOLDER_POLICIES: Final = Table("rotation_policies", records.FolderPolicyRow, ("path",))
CONNECTIONS: Final = Table("database_connections", records.ConnectionRow, ("path",))
DATABASE_ROLES: Final = Table("database_roles", records.DatabaseRoleRow, ("path",))
DYNAMIC_LEASES: Final = Table(
    "dynamic_leases",
    records.DynamicLeaseRow,
    ("id",),
    texts=("error",),
    indexes=("connection", "ended_at", "next_at", "parent", "state", "username"),
)
LEASE_CLIENTS: Final = Table("lease_clients", records.LeaseClientRow, ("client",))
CONSUMERS: Final = Table(
    "secret_consumers",
    records.ConsumerRow,
    ("secret_id", "consumer"),
    indexes=("identity", "fetched_at"),
    many=True,
)
RECORDERS: Final = Table("consumer_recorders", records.RecorderRow, ("id",))
AUTH_MOUNTS: Final = Table(
    "auth_mounts", records.AuthMountRow, ("id",), unique=("path",), texts=("description",)
)
AUTH_ENTRIES: Final = Table(
    "auth_entries",
    records.AuthEntryRow,
    ("mount_id", "kind", "name"),
    indexes=("expires_at",),
)
ENTITY_ALIASES: Final = Table(
    "entity_aliases",
    records.EntityAliasRow,
    ("alias_key",),
    unique=("id",),
    indexes=("mount_accessor", "verified_at"),
)
GROUPS: Final = Table("entity_groups", records.GroupRow, ("id",), unique=("name_key",))
GROUP_ALIASES: Final = Table(
    "group_aliases",
    records.GroupAliasRow,
    ("alias_key",),
    unique=("id",),
    indexes=("mount_accessor",),
)
GROUP_MEMBERS: Final = Table("group_members", records.GroupMemberRow, ("group_id", "entity_id"))
MOUNT_MOVES: Final = Table("mount_moves", records.MountMoveRow, ("id",), level=18)
ACCESS_GRANTS: Final = Table("access_grants", records.AccessGrantRow, ("id",), level=18)

ALL: Final[tuple[Table[Any], ...]] = (
    SYSTEM,
    MOUNTS,
    SECRETS,
    VERSIONS,
    ACCESS,
    USERS,
    ROLES,
    API_KEYS,
    TOKENS,
    POLICIES,
    USAGE,
    NODES,
    AUDIT,
    CHANGES,
    LEASES,
    ROTATIONS,
    FOLDER_POLICIES,
    CONNECTIONS,
    DATABASE_ROLES,
    DYNAMIC_LEASES,
    LEASE_CLIENTS,
    CONSUMERS,
    RECORDERS,
    AUTH_MOUNTS,
    AUTH_ENTRIES,
    ENTITY_ALIASES,
    GROUPS,
    GROUP_ALIASES,
    GROUP_MEMBERS,
    CUBBYHOLE,
    SESSIONS,
    MOUNT_MOVES,
    ACCESS_GRANTS,
)
