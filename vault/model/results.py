"""What handlers give back, for a dialect to put on its wire."""

from typing import Any, Self

from msgspec import Struct
from msgspec.structs import replace

from vault.model.acl.policy import AclPath
from vault.model.labels import Labels
from vault.model.records import (
    AccessRow,
    ConsumerRow,
    DynamicLeaseRow,
    EntityAliasRow,
    FolderPolicyRow,
    GroupAliasRow,
    GroupRow,
    MountRow,
    NodeRow,
    RoleRow,
    RotationRow,
    SecretRow,
    UserRow,
    VersionRow,
)
from vault.model.rotation import AdoptionStatus, RotationPolicy


class UserWritten(Struct, frozen=True, kw_only=True):
    """A user who was made or changed, and what is worth a remark."""

    user: UserRow
    warnings: tuple[str, ...] = ()


class EntityWritten(Struct, frozen=True):
    """An entity that was made or changed, and which of the two."""

    row: UserRow
    is_new: bool


class AliasWritten(Struct, frozen=True):
    """An alias that was made or changed; whether it is something else than before."""

    row: EntityAliasRow
    is_changed: bool


class SourceCheck(Struct, frozen=True):
    """What a source was asked, and how many tokens that ended.

    `outcome`: `confirmed`, `refused`, or `unused`: no token depends on it.
    """

    outcome: str
    ended: int = 0


class GroupWritten(Struct, frozen=True):
    """A group that was made or changed, and which of the two."""

    row: GroupRow
    is_new: bool


class GroupAliasWritten(Struct, frozen=True):
    """A group's alias that was made or changed, and which of the two."""

    row: GroupAliasRow
    is_new: bool


class ListedGroup(Struct, frozen=True):
    """A group in a list: with how many entities are in it itself, and its alias."""

    row: GroupRow
    members: int
    alias: GroupAliasRow | None


class RoleWritten(Struct, frozen=True, kw_only=True):
    """A role that was made or replaced, and what is worth a remark."""

    role: RoleRow
    warnings: tuple[str, ...] = ()


class RewrapStep(Struct, frozen=True, kw_only=True):
    """What a step has moved, and how far its pass is: complete, all is under `generation`."""

    generation: int
    moved: int
    looked_at: int
    complete: bool


class RotationPage(Struct, frozen=True, kw_only=True):
    """Rotations that the caller may see, without their pending values."""

    rotations: list[RotationRow]
    adoptions: list[AdoptionStatus | None]
    """Of each, how far its value has come; None where nobody waits for that."""
    cursor: str


class DueSecret(Struct, frozen=True):
    """A secret, when it is due, and what its policy belongs to: itself or a folder."""

    path: str
    due: int
    source: str


class RotationPlan(Struct, frozen=True, kw_only=True):
    """Secrets that are due."""

    secrets: list[DueSecret]
    cursor: str


class SelectedSecret(Struct, frozen=True, kw_only=True):
    """A secret that is to be rotated. `code` and `message` say why it cannot be, empty if it can.

    `rotation`: the one that has begun already, without its pending value.
    """

    path: str
    code: str = ""
    message: str = ""
    rotation: RotationRow | None = None


class RotationSelection(Struct, frozen=True, kw_only=True):
    """Secrets that match, and how many more there are whose tags the caller may not read."""

    secrets: list[SelectedSecret]
    hidden: int
    cursor: str


class RotationOverview(Struct, frozen=True, kw_only=True):
    """The policies of folders, the kinds of rotators, and whether all of it is paused."""

    paused: bool
    rotators: list[str]
    policies: list[FolderPolicyRow]


class SecretRotation(Struct, frozen=True, kw_only=True):
    """How a secret is rotated. `policy` belongs to the path `source`: its own, or a folder's.

    `due`: when the next rotation begins, 0 for never. `rotations` are those that are kept, the
    latest first, without their pending values; `adoption` is how far the value of the latest has
    come, None while it has made none.
    """

    source: str
    policy: RotationPolicy | None
    due: int
    rotations: list[RotationRow]
    adoption: AdoptionStatus | None = None


class Dependent(Struct, frozen=True, kw_only=True):
    """Something that connects with the secret `connection`: of this kind, at this path."""

    kind: str
    path: str
    connection: str


class SecretConsumers(Struct, frozen=True, kw_only=True):
    """Who fetches a secret, and what connects with it.

    `rotated_at`: when its last rotation ended, 0 for never. `hidden`: how many of the dependents
    the caller may not see. `is_partial`: there were more consumers than are kept.
    """

    secret: SecretRow
    written_at: int
    rotated_at: int
    consumers: list[ConsumerRow]
    is_partial: bool
    dependents: list[Dependent]
    hidden: int


class Reader(Struct, frozen=True, kw_only=True):
    """An identity that may read a secret, by the rule of a policy.

    `is_conditional`: not now and from where the question came, but the rule may allow it otherwise.
    """

    kind: str
    id: str
    name: str
    rule: str
    is_conditional: bool


class ReaderPage(Struct, frozen=True, kw_only=True):
    """Those who may read a secret. `hidden`: what kinds of identities the caller may not list."""

    readers: list[Reader]
    hidden: list[str]
    cursor: str


class ExposedSecret(Struct, frozen=True, kw_only=True):
    """A secret that an identity has fetched, and what has become of it since.

    `version` is the highest that it fetched. `rotator` is empty where it has to be changed by hand.
    `state`: `pending`, `running`, `stuck` or `done`.
    """

    path: str
    version: int
    current_version: int
    fetched_at: int
    is_connection: bool
    rotator: str
    state: str


class Exposure(Struct, frozen=True, kw_only=True):
    """All that an identity has fetched, in the order in which to rotate it.

    `hidden`: how many of these secrets the caller may not see. `is_partial`: there is more.
    """

    kind: str
    id: str
    name: str
    is_active: bool
    secrets: list[ExposedSecret]
    hidden: int
    is_partial: bool


class RevokedIdentity(Struct, frozen=True, kw_only=True):
    """An identity whose credentials are over. `keys`: how many API keys were revoked now."""

    kind: str
    id: str
    name: str
    keys: int


class IssuedCredentials(Struct, frozen=True, kw_only=True):
    """A lease with what its client logs in with, which nobody is told again."""

    lease: DynamicLeaseRow
    value: dict[str, str]

    def __repr__(self) -> str:
        return f"IssuedCredentials(lease={self.lease.id!r})"


class StaticRole(Struct, frozen=True, kw_only=True):
    """A static role. `rotation_period` in ns; `rotated_at`: when it got its current password."""

    connection: str
    username: str
    rotation_period: int
    statements: tuple[str, ...]
    rotated_at: int


class RenewedLease(Struct, frozen=True, kw_only=True):
    """A lease that was renewed, and what is worth a remark."""

    lease: DynamicLeaseRow
    warnings: tuple[str, ...] = ()


class LeasePage(Struct, frozen=True, kw_only=True):
    """Leases that the caller may see, in the order of their ids; no `cursor` on the last page."""

    leases: list[DynamicLeaseRow]
    cursor: str


class RevokedLeases(Struct, frozen=True, kw_only=True):
    """How many leases were set to end. `after` is not empty where there may be more behind it."""

    count: int
    after: str


class OrphanedUsers(Struct, frozen=True, kw_only=True):
    """Users of this vault's at a server that belong to no lease. `dropped`: of ended leases."""

    unknown: list[str]
    dropped: list[str]


class SecretValue(Struct, frozen=True, kw_only=True):
    """A version and its value. `value` is None when the version is deleted or destroyed."""

    secret: SecretRow
    version: VersionRow
    value: bytes | None


class SecretInfo(Struct, frozen=True, kw_only=True):
    """Everything about a secret but its values.

    `versions` are in ascending order, without their sealed parts and labels: there may be thousands
    of each. `relabelled`: by version, whether its labels differ from those of the version before;
    a version is not in it when it cannot be told. `access` is None unless it was asked for.
    """

    secret: SecretRow
    versions: list[VersionRow]
    relabelled: dict[int, bool]
    access: AccessRow | None
    mount: MountRow | None


class VersionLabels(Struct, frozen=True, kw_only=True):
    """The labels of a version but for its expiry, with who wrote it when (Unix ns).

    `version` 0 is the secret as it is now, whose labels may have been changed since its newest
    version; who did that is in the audit log.
    """

    version: int
    at: int
    by: str
    labels: Labels

    @classmethod
    def current(cls, secret: SecretRow) -> Self:
        """The secret as it is."""
        labels = Labels(metadata=secret.metadata, tags=secret.tags)
        return cls(version=0, at=secret.updated_at, by="", labels=labels)

    @classmethod
    def of_version(cls, version: VersionRow) -> Self | None:
        """A version; None if it is older than the keeping of labels."""
        if not isinstance(version.labels, Labels):
            return None
        return cls(
            version=version.version,
            at=version.created_at,
            by=version.created_by,
            labels=replace(version.labels, expires_at=None),
        )


class KnownNode(Struct, frozen=True, kw_only=True):
    """A node on the database. `answers`: it is the one that says so."""

    row: NodeRow
    is_running: bool
    answers: bool


class VersionComparison(Struct, frozen=True, kw_only=True):
    """Two sides of one secret."""

    secret: SecretRow
    before: VersionLabels
    after: VersionLabels


class SecretWritten(Struct, frozen=True, kw_only=True):
    """The head and the version that a write has made."""

    secret: SecretRow
    version: VersionRow


class SecretPage(Struct, frozen=True, kw_only=True):
    """Some secrets in name order; `cursor` is empty on the last page."""

    secrets: list[SecretRow]
    cursor: str


class KeyList(Struct, frozen=True, kw_only=True):
    """Direct children of a folder in byte order."""

    keys: list[str]


class BrowserSession(Struct, frozen=True, kw_only=True):
    """A browser's session. Instants are Unix ns; `text`, when just opened: cookie and session key.

    It ends at `expires_at` unless it is renewed, for `idle` ns each time, and at `ends_at` at last.
    """

    name: str
    policies: tuple[str, ...]
    root: bool
    accessor: str
    created_at: int
    expires_at: int
    ends_at: int
    idle: int
    text: str = ""

    def __repr__(self) -> str:
        return f"Session(accessor={self.accessor!r})"


class SessionInfo(Struct, frozen=True, kw_only=True):
    """A session of a user. Instants are Unix ns, 0: never.

    `method`, `mount`: what it was opened by; the mount is empty where there is none. `idle_until`:
    when it ends unless it is used. `is_current`: it is the one that asks.
    """

    accessor: str
    method: str
    mount: str
    browser: bool
    address: str
    created_at: int
    last_used: int
    expires_at: int
    idle_until: int
    is_current: bool


class StoredEntry(Struct, frozen=True, kw_only=True):
    """An entry of an auth mount as it may be shown: without what is secret or hidden."""

    name: str
    document: dict[str, Any]
    created_at: int
    updated_at: int


class ActionResult(Struct, frozen=True, kw_only=True):
    """What an action of an auth method answers; None: nothing."""

    fields: dict[str, Any] | None = None


class UnwrappedAnswer(Struct, frozen=True, kw_only=True):
    """An answer that waited behind the wrapping token of this accessor."""

    accessor: str
    content: bytes

    def __repr__(self) -> str:
        return f"UnwrappedAnswer(accessor={self.accessor!r})"


class LockedLogins(Struct, frozen=True, kw_only=True):
    """The names that are locked at an auth mount."""

    accessor: str
    names: list[str]


class ResultantAcl(Struct, frozen=True, kw_only=True):
    """What policies say: of single paths, and of all that begin with a text."""

    root: bool
    exact_paths: dict[str, AclPath] = {}
    glob_paths: dict[str, AclPath] = {}
