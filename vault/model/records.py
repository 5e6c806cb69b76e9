"""The rows that are kept: one frozen struct a table. Instants are Unix nanoseconds, 0 means never.

A struct with a `mac` field is an *authority row*: the barrier stamps it over table, key and all
columns and refuses it when the stamp is wrong (`security.md`, "DB admin edits").

A row has no way back to itself, so the collector need not look at it (`gc=False`): caches hold
hundreds of thousands.
"""

from enum import StrEnum
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType

from vault.model.dynamic import LeaseState
from vault.model.labels import Labels
from vault.model.rotation import RotationState


class RecordStatus(StrEnum):
    """The design's status of a secret, user or key."""

    ACTIVE = "active"
    DELETED = "deleted"  # secret: its current version is soft-deleted
    DESTROYED = "destroyed"  # secret: its current version is destroyed
    EMPTY = "empty"  # secret: has metadata and no version yet
    DISABLED = "disabled"  # user
    REVOKED = "revoked"  # key


class SecretRow(Struct, frozen=True, kw_only=True, gc=False):
    """The head of a secret: everything but the values. Its key is the name."""

    name: str
    id: str
    current_version: int = 0
    oldest_version: int = 0
    max_versions: int = 0  # 0: the mount's, else 10
    cas_required: bool = False
    delete_version_after: int = 0  # ns; negative: switched off
    metadata: dict[str, str] = {}
    tags: list[str] = []
    status: str = RecordStatus.EMPTY
    created_at: int
    updated_at: int
    created_by: str
    expires_at: int = 0
    rotation_due: int = 0  # the rotation issue fills these two
    rotation_policy: dict[str, Any] | None = None
    mac: bytes = b""


class VersionRow(Struct, frozen=True, kw_only=True, gc=False):
    """One version of a secret, key `(secret_id, version)`; its two sealed parts are stored apart.

    Destroying a version empties both; rekeying replaces `wrapped_dek` alone (docs/spec/sealed.md).
    `labels` are those of the secret once the version was written. They are unset in a version that
    is older than the column: what is unset is not encoded, so the `mac` that it has still holds.
    """

    secret_id: str
    version: int
    wrapped_dek: bytes
    box: bytes
    kek_generation: int
    created_at: int
    created_by: str
    deletion_time: int = 0  # may lie in the future (delete_version_after)
    destroyed: bool = False
    labels: Labels | UnsetType = UNSET
    mac: bytes = b""


class AccessRow(Struct, frozen=True, kw_only=True, gc=False):
    """How often and when a secret was read; counted in memory and flushed, so no authority row."""

    secret_id: str
    value_reads: int = 0
    metadata_reads: int = 0
    last_value_read: int = 0
    last_metadata_read: int = 0


class MountRow(Struct, frozen=True, kw_only=True, gc=False):
    """A prefix of the name space with KV settings; its key is the path with its closing `/`."""

    path: str
    id: str
    accessor: str
    type: str = "kv"
    version: int = 2
    description: str = ""
    max_versions: int = 0
    cas_required: bool = False
    delete_version_after: int = 0
    created_at: int
    default_lease_ttl: int | UnsetType = UNSET  # ns; 0 or unset: the system's, negative: -1 s
    max_lease_ttl: int | UnsetType = UNSET
    mac: bytes = b""


class MountMoveRow(Struct, frozen=True, kw_only=True, gc=False):
    """A mount that was moved. `source` and `target` have `auth/` before them for an auth mount.

    `secrets`: how many went with it.
    """

    id: str
    mount_id: str
    source: str
    target: str
    secrets: int = 0
    moved_at: int
    moved_by: str
    mac: bytes = b""


class GrantAuthority(Struct, frozen=True, kw_only=True):
    """What allowed the granter what they granted: it must allow it still when the grant is used.

    `policies` count while the granter's entity has them; `from_login`: those of them that only the
    login gave, by its role. `mfa_at`: when the granter had shown a second factor (0: never).
    `credential`: of a granter without an entity, whose token must stand; else empty.
    """

    policies: list[str]
    from_login: list[str] | UnsetType = UNSET
    denied_by: list[str] = []
    ceiling: list[str] = []
    method: str
    ip: str
    mfa_at: int = 0
    credential: str = ""


class AccessGrantRow(Struct, frozen=True, kw_only=True, gc=False):
    """Access to one path for one caller that ends by itself, granted for the ticket of a refusal.

    `subject` is the id of the caller (`Identity.id`), `credential` the one that was refused; empty:
    whatever login of the subject. `granter` is the id of who granted it.
    """

    id: str
    subject: str
    subject_name: str
    credential: str
    capability: str
    path: str
    granter: str
    granter_name: str
    authority: GrantAuthority
    request_id: str
    granted_at: int
    expires_at: int
    mac: bytes = b""


class UserRow(Struct, frozen=True, kw_only=True, gc=False):
    """An entity: a person or a machine. `name_key` is the casefolded user name and unique.

    What a request needs to know is found from here by key. `aliases`: the keys of its aliases, at
    most one of an auth mount. `member_of`: the groups that it is itself in, by id; of an external
    group with the key of the group alias by which its source put it there, else empty.
    `merged_from`: the ids of entities that became this one.
    """

    id: str
    username: str
    name_key: str
    email: str = ""
    roles: list[str] = []
    policies: list[str] = []
    created_at: int
    updated_at: int
    last_login: int = 0
    status: str = RecordStatus.ACTIVE
    metadata: dict[str, str] | UnsetType = UNSET
    aliases: list[str] | UnsetType = UNSET
    member_of: dict[str, str] | UnsetType = UNSET
    merged_from: list[str] | UnsetType = UNSET
    mac: bytes = b""


class EntityAliasRow(Struct, frozen=True, kw_only=True, gc=False):
    """The name of an entity at an auth mount.

    Its key is the mount's accessor and the name in the one spelling that the method compares by
    (`vault.authn.aliases.alias_key`). `metadata` and `roles` are what the source says,
    `custom_metadata` what an administrator does. `merged_from`: entities whose it was before.
    `verified_at`: when the source was last asked, 0 while no token of a login depends on it.
    """

    alias_key: str
    id: str
    entity_id: str
    mount_accessor: str
    mount_path: str
    mount_type: str
    name: str
    metadata: dict[str, str] = {}
    custom_metadata: dict[str, str] = {}
    roles: list[str] = []
    merged_from: list[str] = []
    verified_at: int = 0
    created_at: int
    updated_at: int
    mac: bytes = b""


class GroupRow(Struct, frozen=True, kw_only=True, gc=False):
    """A group of entities and of other groups, whose policies its members have.

    `name_key` is the casefolded name and unique. `kind`: internal, or external: then the source
    says who is in it, and `alias_key` is the key of its alias, empty without one. `children` are
    the groups that are its members, `parents` those that it is one of, `ancestors` these and
    theirs.
    """

    id: str
    name: str
    name_key: str
    kind: str
    policies: list[str] = []
    metadata: dict[str, str] = {}
    alias_key: str = ""
    children: list[str] = []
    parents: list[str] = []
    ancestors: list[str] = []
    modify_index: int = 1
    created_at: int
    updated_at: int
    mac: bytes = b""


class GroupAliasRow(Struct, frozen=True, kw_only=True, gc=False):
    """The name of an external group at an auth mount; its key as that of an entity's alias."""

    alias_key: str
    id: str
    group_id: str
    mount_accessor: str
    mount_path: str
    mount_type: str
    name: str
    created_at: int
    updated_at: int
    mac: bytes = b""


class GroupMemberRow(Struct, frozen=True, kw_only=True, gc=False):
    """That an entity is in a group, key `(group_id, entity_id)`, for lists.

    What counts is what the entity's own row says (`UserRow.member_of`).
    """

    group_id: str
    entity_id: str
    mac: bytes = b""


class RoleRow(Struct, frozen=True, kw_only=True, gc=False):
    """A named set of policies."""

    name: str
    description: str = ""
    policies: list[str] = []
    created_at: int
    updated_at: int
    mac: bytes = b""


class ApiKeyRow(Struct, frozen=True, kw_only=True, gc=False):
    """An API key of a user: the keyed hash of its secret, never the secret."""

    id: str
    user_id: str
    name: str
    key_hash: bytes
    permissions: list[dict[str, list[str]]] = []
    expires_at: int = 0
    created_at: int
    created_by: str
    status: str = RecordStatus.ACTIVE
    mac: bytes = b""


BATCH_ACCESSOR: Final = "batch-"
"""Begins what stands for the accessor of a batch token, which has none, within the agent."""


class TokenRow(Struct, frozen=True, kw_only=True, gc=False):
    """A token; its key is the id that its text locates. A child is found by `parent`.

    `user_id`: the user (entity) that it belongs to. Of a login: `mount_id` is the auth mount that
    it was made at, without which it does not stand, `role` the entry that was used, `renewal` what
    the method needs to renew it. `bound_cidrs`: the networks it counts from. `certificate`: hex
    SHA-256 of the client certificate that each request must present. `verified_at`: when the source
    last said who it is. `role` of another token: its token role. `max_ttl`: the bound of all its
    renewals that its mount or role sets (ns), beside the default one. `mfa_at`: when a second
    factor was shown for it last (0 or unset: never). `session`: it is a session of its user, and
    stands only with its `SessionRow`.
    """

    id: str
    accessor: str
    secret_hash: bytes
    parent: str = ""  # id of the parent token; empty: an orphan
    display_name: str = "token"
    user_id: str = ""
    policies: list[str] = []
    meta: dict[str, str] = {}
    path: str = "auth/token/create"
    created_at: int
    issued_at: int  # creation or last renewal
    ttl: int = 0  # ns, as asked for; 0: never expires (root only)
    period: int = 0
    explicit_max_ttl: int = 0
    expires_at: int = 0
    renewable: bool = True
    num_uses: int = 0  # as created; 0: without limit
    uses_left: int = 0
    denied_by: list[str] | UnsetType = (
        UNSET  # of an orphan: its maker's policies, for their denials
    )
    mount_id: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    renewal: dict[str, str] | UnsetType = UNSET
    bound_cidrs: list[str] | UnsetType = UNSET
    certificate: str | UnsetType = UNSET
    verified_at: int | UnsetType = UNSET
    max_ttl: int | UnsetType = UNSET
    mfa_at: int | UnsetType = UNSET
    session: bool | UnsetType = UNSET
    mac: bytes = b""

    @property
    def is_batch(self) -> bool:
        """Whether it is a batch token, which is stored nowhere."""
        return self.accessor.startswith(BATCH_ACCESSOR)


class SessionRow(Struct, frozen=True, kw_only=True, gc=False):
    """A session of a user, beside its token, whose id is the key.

    `address`: where it was opened from. `active_at`: its last use that was written down. `idle`: ns
    that it may be unused, 0 without such a bound; `idle_until`: when it ends unused, 0: never.
    """

    token_id: str
    accessor: str
    user_id: str
    address: str = ""
    created_at: int
    active_at: int
    idle: int = 0
    idle_until: int = 0
    mac: bytes = b""


class AuthMountRow(Struct, frozen=True, kw_only=True, gc=False):
    """An auth method that is enabled at a path (with its closing `/`).

    Its key is its id: a mount that is moved keeps it, and with it entries and tokens. Durations in
    ns, 0: the default. `tuning` are settings that clients write and read back. `token/` has no row.
    """

    id: str
    path: str
    accessor: str
    type: str
    description: str = ""
    default_lease_ttl: int = 0
    max_lease_ttl: int = 0
    token_type: str = "default-service"
    listing_visibility: str = ""
    is_local: bool = False
    options: dict[str, str] = {}
    tuning: dict[str, Any] = {}
    created_at: int
    updated_at: int
    mac: bytes = b""


class AuthEntryRow(Struct, frozen=True, kw_only=True, gc=False):
    """Something that an auth method keeps: a role, a user, its configuration, a one-time secret.

    Its key is `(mount_id, kind, name)`. What is secret of the document is sealed apart
    (`wrapped_dek`, `box`, under the place `(id, revision)`); without any, the three are empty.
    """

    mount_id: str
    kind: str
    name: str
    id: str
    document: dict[str, Any] = {}
    wrapped_dek: bytes = b""
    box: bytes = b""
    kek_generation: int = 0
    revision: int = 0
    expires_at: int = 0
    uses_left: int = 0
    created_at: int
    updated_at: int
    mac: bytes = b""


class CubbyholeRow(Struct, frozen=True, kw_only=True, gc=False):
    """What a token keeps for itself: it goes with the token. Sealed by the token's own text."""

    token_id: str
    path: str
    box: bytes
    created_at: int
    mac: bytes = b""


BUNDLE_ROW: Final = "fleet:bundle"
"""The `PolicyRow.name` of a control plane's bundle, which no policy can have. Its document's
`rules` are the bundle's policies, each as JSON text."""


class PolicyRow(Struct, frozen=True, kw_only=True, gc=False):
    """A policy as it was written; `document` is its validated JSON form."""

    name: str
    id: str
    version: int
    document: dict[str, Any]
    created_at: int
    updated_at: int
    created_by: str
    mac: bytes = b""


class UsageRow(Struct, frozen=True, kw_only=True, gc=False):
    """When a credential was last used; flushed in batches, so no authority row."""

    credential_id: str
    last_used: int = 0
    uses: int = 0


class SystemRow(Struct, frozen=True, kw_only=True, gc=False):
    """A named blob that must be readable while sealed: wrapped keyring, seal configuration."""

    name: str
    value: bytes


class ChangeRow(Struct, frozen=True, gc=False):
    """An entry of the change feed: what the commit number `seq` changed.

    `changes` is MessagePack (`vault.store.change_feed`); `chain` is the MAC over this entry and the
    one before (`vault.seal.anchor.feed_chain`).
    """

    seq: int
    node: str
    changes: bytes
    chain: bytes


class NodeRow(Struct, frozen=True, kw_only=True, gc=False):
    """A node: one machine's agent, with all its processes, on a database that others may share.

    `name` is the machine's and `place` its audit log's path there; `version` and `level` are those
    of its program (see `vault.store.tables.SCHEMA_LEVEL`); `run` is another one after each start,
    by which two machines with one id are noticed. `heartbeat` is when it committed this row last, 0
    after an orderly stop.

    `checkpoint` (the signed head of its audit log), `anchored`, `sealed_at` and `notice` are what
    its last commit stamp said. They are written when another node's stamp replaces that one, so
    the commit stamp of a node is newer than its row.
    """

    id: str
    name: str = ""
    place: str = ""
    version: str = ""
    level: int = 0
    run: str = ""
    started: int = 0
    heartbeat: int = 0
    checkpoint: str = ""
    anchored: bool = False
    sealed_at: int = 0
    notice: dict[str, int] | None = None
    mac: bytes = b""


class LeaseRow(Struct, frozen=True, kw_only=True, gc=False):
    """Which agent may do a kind of background work that is done once for all agents.

    `epoch` is the fencing token: it grows with each agent that takes the lease, and never goes
    back. `holder` is empty after a release. `until` and `acquired` are of the database's clock.
    """

    name: str
    holder: str
    epoch: int
    until: int
    acquired: int
    mac: bytes = b""


class FolderPolicyRow(Struct, frozen=True, kw_only=True, gc=False):
    """The policy of all secrets in a folder (its path, with the closing slash) without their own.

    Of several folders the one next to the secret counts. `policy` is a `RotationPolicy`; empty: it
    was removed, and counts no more. `scheduled_to`: the last secret below whose due time follows
    from the policy as it is now; unset once that holds for all of them.
    """

    path: str
    policy: dict[str, Any]
    updated_at: int
    updated_by: str
    scheduled_to: str | UnsetType = UNSET
    mac: bytes = b""


class RotationRow(Struct, frozen=True, kw_only=True, gc=False):
    """One rotation, key `(secret_id, number)`; the highest number of a secret is the latest.

    `policy` is the policy that was in force when it began. `previous` is the version that is
    replaced, `version` the one that was made, 0 before. `wrapped_dek`, `box` and `kek_generation`
    are the new value while it is pending, sealed, and empty before and after. `resume`: the state
    in which it got stuck. `next_at`: when the next step is due, 0 for none. `fence` is what the
    target may compare. `reads`: how often the secret's value had been read when a rotation last
    replaced it.
    """

    secret_id: str
    number: int
    path: str
    state: str = RotationState.PLANNED
    resume: str = ""
    policy: dict[str, Any]
    cause: str
    requested_by: str = ""
    previous: int
    version: int = 0
    wrapped_dek: bytes = b""
    box: bytes = b""
    kek_generation: int = 0
    fence: int = 0
    attempt: int = 0
    next_at: int
    began_at: int
    current_at: int = 0
    ended_at: int = 0
    error_code: str = ""
    error: str = ""
    reads: int | UnsetType = UNSET
    mac: bytes = b""


class ConnectionRow(Struct, frozen=True, kw_only=True, gc=False):
    """A connection to a database server, key: its path (`database/config/NAME`).

    `kind`: of target. `secret`: the path of the secret with its address and administrator.
    `allowed_roles`: names of roles that may use it. `options` are the dialect's own, and no secret.
    """

    path: str
    kind: str
    secret: str
    allowed_roles: list[str] = []
    options: dict[str, Any] = {}
    created_at: int
    updated_at: int
    updated_by: str
    mac: bytes = b""


class DatabaseRoleRow(Struct, frozen=True, kw_only=True, gc=False):
    """How users are created through a connection, key: its path (`database/roles/NAME`).

    `config`: the settings of the connection's kind. A lease lasts for `default_ttl`, and with all
    renewals for `max_ttl` (ns). `options` are the dialect's own.
    """

    path: str
    connection: str
    config: dict[str, Any]
    default_ttl: int
    max_ttl: int
    options: dict[str, Any] = {}
    created_at: int
    updated_at: int
    updated_by: str
    mac: bytes = b""


class DynamicLeaseRow(Struct, frozen=True, kw_only=True, gc=False):
    """A leased user, key: the lease's id (`database/creds/ROLE/…`).

    `kind`, `connection` and `config` are those of its role when it was made, so that the user can
    be dropped whatever becomes of the role. `parent`: the id of the token that it ends with, or
    `key:` and the id of the API key; empty once the lease is to end. `owner`: the credential that
    may use it, and `client` where its line begins. `max_expires_at` bounds renewals. `next_at`:
    when its next step is due, 0 for none. `reason`: why it ends.
    """

    id: str
    state: str = LeaseState.CREATING
    username: str
    kind: str
    connection: str
    config: dict[str, Any]
    parent: str
    owner: str
    owner_name: str
    client: str
    ttl: int
    issued_at: int
    renewed_at: int = 0
    expires_at: int
    max_expires_at: int
    next_at: int
    attempt: int = 0
    ended_at: int = 0
    reason: str = ""
    error_code: str = ""
    error: str = ""
    mac: bytes = b""


class LeaseClientRow(Struct, frozen=True, kw_only=True, gc=False):
    """How many leases a client has, key: where its line of credentials begins; empty: all clients.

    `leases` may have a user at a target. `unrenewed` were asked for since the last renewal, while
    the client had another one.
    """

    client: str
    leases: int = 0
    issued: int = 0
    renewed: int = 0
    unrenewed: int = 0
    issued_at: int = 0
    mac: bytes = b""


class ConsumerRow(Struct, frozen=True, kw_only=True, gc=False):
    """Who fetched a secret, key `(secret_id, consumer)`, and the highest version that it fetched.

    `consumer` is `key:ID` for an API key, `user:ID` for all tokens of a user, else
    `token:ACCESSOR`; empty for those who found no place (`MAX_CONSUMERS`). `identity` is
    `Identity.first`. `fetched_at` is at most an hour older than the last fetch. `compromised_at`:
    since when nobody waits for it any more, 0 for never.
    """

    secret_id: str
    consumer: str
    identity: str
    name: str
    path: str
    version: int
    fetched_at: int
    compromised_at: int = 0
    mac: bytes = b""


class RecorderRow(Struct, frozen=True, kw_only=True, gc=False):
    """A process that records who fetches what, by its id: node, slash, number of the process.

    All that it saw before `flushed_at` is stored. `is_open`: it may hold more. `lost_at`: when it
    was last found that it had lost some, 0 for never.
    """

    id: str
    flushed_at: int
    is_open: bool
    lost_at: int = 0
    mac: bytes = b""


class BlockRow(Struct, frozen=True, gc=False):
    """Where neighbouring records of an audit log are, and what their events say.

    Its key is `(log, first)`: the log's id and the number of its first record. `prev` is what
    the last record says of the one before, so of all: another log of the same node has another.
    `start` is where the first begins in its segment, in bytes; `began` and `ended` are the earliest
    and the latest time of an event, 0 if there is none; `terms` is a filter
    (`vault.audit.bloom_filter`).
    """

    log: str
    first: int
    last: int
    prev: str
    segment: int
    start: int
    began: int
    ended: int
    terms: bytes
