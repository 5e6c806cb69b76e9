"""The parameters of operations: what a dialect fills in and a handler takes.

Values travel as the bytes of one JSON document, so that nothing between the wire and the seal
has to decode them. `None` means "leave as it is" wherever a field can be left as it is.
"""

from typing import Any, Final

from msgspec import Struct

from vault.errors import VaultError
from vault.model.reference import ReferencePayload
from vault.model.rotation import RotationCause, RotationPolicy

MAX_PAGE_SIZE: Final = 1_000  # rows of one page of a list
MAX_RESULT_BYTES: Final = 8 << 20  # bytes of one answer about many secrets; the last may be over it
MAX_VERSIONS: Final = 10_000  # of one secret; bounds what one write may have to prune


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """For operations that take no parameters."""


class RewrapDataKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step of putting data keys under the newest key; `again`: look at all of them once more."""

    again: bool = False


class MalformedRequest(Struct, frozen=True, kw_only=True):
    """A request that is no operation, as it came. `error`: what is wrong with it.

    `folder` (with its closing slash): whoever may do nothing in it is not told. Empty: anybody is.
    """

    error: VaultError
    method: str
    path: str
    folder: str = ""


class RefusedRequest(Struct, frozen=True, kw_only=True):
    """A request that is refused without a look at any credential in it.

    `code` and `message`: why; `denied`: its caller may not do it. `method` and `path` are empty
    where the head of the request was not read.
    """

    code: str
    message: str
    denied: bool = False
    method: str = ""
    path: str = ""


class ReadMetadata(Struct, frozen=True, kw_only=True):
    """Read everything about a secret but its values; `uses`: how often it was read, too."""

    uses: bool = False


class ReadSecret(ReferencePayload, frozen=True, kw_only=True):
    """Read a version's value; 0 is the current one."""

    version: int = 0


class ListReaders(ReferencePayload, frozen=True, kw_only=True):
    """A page of those who may read a secret."""

    cursor: str = ""
    limit: int = 100


class WriteSecret(Struct, frozen=True, kw_only=True):
    """Write a new version. `cas` is the version that must be current (0: none may exist)."""

    value: bytes
    cas: int | None = None
    metadata: dict[str, str] | None = None
    tags: list[str] | None = None
    expires_at: int | None = None
    create_only: bool = False
    must_exist: bool = False


class PatchSecret(Struct, frozen=True, kw_only=True):
    """Merge a JSON merge patch (RFC 7396) into the current version, as a new version."""

    patch: bytes
    cas: int | None = None


class RollbackSecret(Struct, frozen=True, kw_only=True):
    """Write the value of an older version again, as a new version."""

    version: int
    cas: int | None = None


class SecretVersions(Struct, frozen=True, kw_only=True):
    """Some versions of one secret; empty is the current one. Unknown ones are skipped."""

    versions: tuple[int, ...] = ()


class WriteRotationPolicy(Struct, frozen=True, kw_only=True):
    """Set the rotation policy of a secret, or of a folder; None: it has none of its own."""

    policy: RotationPolicy | None


class BeginRotation(Struct, frozen=True, kw_only=True):
    """Begin a rotation of one secret.

    `since` (Unix ns): one that began then or later is the answer, and no other begins; 0 for none.
    `delay` (ns): the first step waits for so long.
    """

    cause: RotationCause = RotationCause.REQUEST
    since: int = 0
    delay: int = 0


class SelectRotations(Struct, frozen=True, kw_only=True):
    """Secrets in a folder that have all of the tags, and whether a rotation of each can begin.

    `since` as in `BeginRotation`.
    """

    tags: tuple[str, ...] = ()
    since: int = 0
    cursor: str = ""
    limit: int = 100


class ListRotations(Struct, frozen=True, kw_only=True):
    """Rotations in a folder of secrets that have all of the tags.

    With a `state` only those that are in it; `running`: only those that have a next step.
    """

    state: str = ""
    running: bool = False
    tags: tuple[str, ...] = ()
    cursor: str = ""
    limit: int = 100


class PlanRotations(Struct, frozen=True, kw_only=True):
    """Secrets in a folder, with all of the tags, that are due before an instant (Unix ns)."""

    before: int
    tags: tuple[str, ...] = ()
    cursor: str = ""
    limit: int = 100


class PauseRotations(Struct, frozen=True, kw_only=True):
    """Whether no rotation begins or goes on until somebody says otherwise."""

    paused: bool


class ScheduleSecrets(Struct, frozen=True, kw_only=True):
    """Schedule secrets below a folder by its policy, which has changed."""

    folder: str


class RefuseRotation(Struct, frozen=True, kw_only=True):
    """Policies do not allow the agent to begin a rotation that is due, or to take its next step.

    `number` 0: to begin one.
    """

    path: str
    number: int
    reason: str


class StepRotation(Struct, frozen=True, kw_only=True):
    """Take the next step of a rotation.

    `term` is the epoch of the lease of whoever asks; `timeout` (seconds) is the time for the step.
    """

    secret_id: str
    number: int
    term: int
    timeout: float


class WriteConnection(Struct, frozen=True, kw_only=True):
    """Make or replace a connection to a database server.

    `secret` names the secret with its address and administrator, which the caller must be allowed
    to read. `value` instead is that secret: it is kept at the path of the connection, as a new
    version. With neither, the one that it has stays. `verify`: log in before anything is stored.
    `merge`: `value` and `options` are laid over those that it has (objects within `options`, too),
    and `allowed_roles` of None are those that it has, or none.
    """

    kind: str
    secret: str = ""
    value: dict[str, str] | None = None
    allowed_roles: tuple[str, ...] | None = ("*",)
    options: dict[str, Any] = {}
    verify: bool = True
    merge: bool = False


class WriteDatabaseRole(Struct, frozen=True, kw_only=True):
    """Make or replace a role of a database mount.

    `connection` is a name in the same mount; `config` are the settings of its kind. Durations in
    ns, 0: the default.
    """

    connection: str
    config: dict[str, Any]
    default_ttl: int = 0
    max_ttl: int = 0
    options: dict[str, Any] = {}


class WriteStaticRole(Struct, frozen=True, kw_only=True):
    """Make or change a static role: `username`'s password is rotated each `rotation_period` ns.

    Of a role that is there, an empty `connection`, 0 and None are what it has. `statements` set the
    password; without them the server's own way is used.
    """

    connection: str = ""
    username: str = ""
    rotation_period: int = 0
    statements: tuple[str, ...] | None = None


class CreateCredentials(Struct, frozen=True, kw_only=True):
    """Create a user by a role. `ttl` in ns, at most the role's; 0: the role's default."""

    ttl: int = 0


class LeaseSelector(Struct, frozen=True, kw_only=True):
    """The lease with this id (`lease.read`)."""

    lease: str


class RenewLease(Struct, frozen=True, kw_only=True):
    """Have a lease last for `increment` ns from now, as far as it may; 0: for its own TTL."""

    lease: str
    increment: int = 0


class RevokeLease(Struct, frozen=True, kw_only=True):
    """End a lease. `sync`: try to drop its user before the answer.

    `force`: it is over even if the user is left at the target.
    """

    lease: str
    sync: bool = False
    force: bool = False


class RevokeLeases(Struct, frozen=True, kw_only=True):
    """End all leases whose ids begin with a prefix, some at a time. `force`: as for one."""

    prefix: str
    after: str = ""
    force: bool = False


class ListLeases(Struct, frozen=True, kw_only=True):
    """Leases whose ids begin with a prefix; with a `state` only those that are in it."""

    prefix: str = ""
    state: str = ""
    cursor: str = ""
    limit: int = 100


class StepLease(Struct, frozen=True, kw_only=True):
    """Take the next step of a lease; `timeout` (seconds) is the time for it."""

    lease: str
    timeout: float


class CompareVersions(Struct, frozen=True, kw_only=True):
    """What is said of two versions beside their values; `after` 0: of the secret as it is now."""

    before: int
    after: int = 0


class WriteMetadata(Struct, frozen=True, kw_only=True):
    """Set a secret's metadata. `merge`: a `None` value deletes its key, the others stay."""

    metadata: dict[str, str | None] | None = None
    merge: bool = False
    tags: list[str] | None = None
    max_versions: int | None = None
    cas_required: bool | None = None
    delete_version_after: int | None = None
    expires_at: int | None = None
    must_exist: bool = False


class ListSecrets(Struct, frozen=True, kw_only=True):
    """Search names below the operation's folder; all given filters must hold."""

    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    status: str = ""
    expiring_before: int = 0
    cursor: str = ""
    limit: int = 100


class ListKeys(Struct, frozen=True, kw_only=True):
    """List the direct children of a folder, sub-folders with a closing `/`.

    `looked_at`: whoever asks reads the metadata of each next, in the same request.
    """

    after: str = ""
    limit: int = 0  # 0: all, within the handler's bound
    looked_at: bool = False


class WriteMount(Struct, frozen=True, kw_only=True):
    """Create a mount: a prefix with KV settings, or with the type `database` a database engine.

    `default_lease_ttl`: for how long clients may keep a value that says nothing itself. ns, 0: the
    system's.
    """

    version: int = 2
    description: str = ""
    type: str = "kv"
    default_lease_ttl: int = 0
    max_lease_ttl: int = 0


class TuneMount(Struct, frozen=True, kw_only=True):
    """Change the settings of a mount; its version can only go up."""

    version: int | None = None
    description: str | None = None
    max_versions: int | None = None
    cas_required: bool | None = None
    delete_version_after: int | None = None
    default_lease_ttl: int | None = None
    max_lease_ttl: int | None = None


class TuneAuth(Struct, frozen=True, kw_only=True):
    """Change what is named of an auth mount. Durations in ns, 0: the system's."""

    description: str | None = None
    default_lease_ttl: int | None = None
    max_lease_ttl: int | None = None
    token_type: str | None = None
    listing_visibility: str | None = None
    options: dict[str, str] | None = None
    tuning: dict[str, Any] = {}
    """Settings that clients write and read back; `user_lockout_config` among them."""


class EnableAuth(Struct, frozen=True, kw_only=True):
    """Enable an auth method at the end of the operation's path. `tune`: its first settings."""

    type: str
    description: str = ""
    is_local: bool = False
    options: dict[str, str] = {}
    tune: TuneAuth = TuneAuth()


class MoveMount(Struct, frozen=True, kw_only=True):
    """Move a mount to another path, with all that is in it."""

    to: str


class SelectEntry(Struct, frozen=True, kw_only=True):
    """An entry of an auth mount, or a kind of them. `mount`: its path with the closing `/`."""

    mount: str
    kind: str
    name: str = ""


class ListEntries(Struct, frozen=True, kw_only=True):
    """Names of a kind of entries of an auth mount, beyond `after`."""

    mount: str
    kind: str
    after: str = ""
    limit: int = 1000


class WriteEntry(Struct, frozen=True, kw_only=True):
    """Change what is named of an entry, which is made where there is none.

    `fields` are as the kind's document has them: durations in ns. `must_exist`: none is made.
    """

    mount: str
    kind: str
    name: str
    fields: dict[str, Any]
    must_exist: bool = False


class RunAuthAction(Struct, frozen=True, kw_only=True):
    """Something else that an auth method does, about one of its entries or about none."""

    mount: str
    action: str
    name: str = ""
    fields: dict[str, Any] = {}


class LogIn(Struct, frozen=True, kw_only=True):
    """Log in. `path` is the mount's and what follows it, `fields` what the caller shows.

    `codes`: second factors that come with it, by the id or name of a method; None: it asks which
    it needs.
    """

    path: str
    fields: dict[str, Any]
    codes: dict[str, tuple[str, ...]] | None = None

    def __repr__(self) -> str:
        return f"LogIn(path={self.path!r})"


class FinishLogin(Struct, frozen=True, kw_only=True):
    """Show the second factors of a login that waits: codes by method, one code, or a passkey's."""

    request_id: str
    codes: dict[str, tuple[str, ...]] = {}
    passcode: str = ""
    assertion: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return "FinishLogin()"


class ShowFactor(Struct, frozen=True, kw_only=True):
    """Show an own second factor: a code, or what a passkey has signed. `factor`: which, by id."""

    passcode: str = ""
    assertion: dict[str, Any] | None = None
    factor: str = ""

    def __repr__(self) -> str:
        return f"ShowFactor(factor={self.factor!r})"


class NameFactor(Struct, frozen=True, kw_only=True):
    """Begin a new second factor, called so. `credential`: what a browser made, to finish it."""

    name: str = ""
    credential: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"NameFactor(name={self.name!r})"


class SelectFactor(Struct, frozen=True, kw_only=True):
    """A second factor of an entity; no method: all of them."""

    entity_id: str
    method_id: str = ""


class WriteMfaMethod(Struct, frozen=True, kw_only=True):
    """What is named of a method of second factors; no id: a new one, or the one of the name."""

    fields: dict[str, Any]
    method_id: str = ""


class RevokeJwt(Struct, frozen=True, kw_only=True):
    """Revoke a token of a trusted issuer by its id (`jti`), or all of a subject up to now."""

    issuer: str
    token_id: str = ""
    subject: str = ""


class ListJwtRevocations(Struct, frozen=True, kw_only=True):
    """A page of revocations of an issuer, of tokens or of subjects."""

    issuer: str
    subjects: bool = False
    after: str = ""
    limit: int = 100


class ConvertPolicy(Struct, frozen=True, kw_only=True):
    """A policy document whose other form is wanted."""

    document: dict[str, object]


class GrantAccess(Struct, frozen=True, kw_only=True):
    """Allow what the ticket of a refusal is about, for `duration` ns."""

    ticket: str
    duration: int


class WritePolicy(Struct, frozen=True, kw_only=True):
    """A policy document as decoded JSON; its name is the end of the operation's path.

    `cas`: only if the policy's edition is this one; 0: only if there is none, -1 the same.
    """

    document: dict[str, object]
    create_only: bool = False
    cas: int | None = None


class CheckCapabilities(Struct, frozen=True, kw_only=True):
    """What may be done on paths of the Vault-compatible API, by a token or that of an accessor."""

    paths: tuple[str, ...]
    token: str = ""
    accessor: str = ""

    def __repr__(self) -> str:
        return f"CheckCapabilities(paths={self.paths!r}, accessor={self.accessor!r})"


class DryRunAccess(Struct, frozen=True, kw_only=True):
    """Would this be allowed? Asked for a user, for a set of policies, or for the caller.

    What is None is taken from the asking request, or from the secret as it is. `draft`: a document
    (decoded JSON) that stands in for the stored policy of its name.
    """

    capability: str
    path: str
    draft: dict[str, object] | None = None
    user: str | None = None
    policies: tuple[str, ...] | None = None
    ip: str | None = None
    method: str | None = None
    mfa: bool | None = None
    at: int | None = None
    tags: tuple[str, ...] | None = None
    metadata: dict[str, str] | None = None


class TokenSelector(Struct, frozen=True, kw_only=True):
    """The token with this text (`token.lookup`, `token.revoke`, `token.revoke_orphan`)."""

    token: str


class ExplainDenial(Struct, frozen=True, kw_only=True):
    """The ticket of a refusal (`policy.explain`)."""

    ticket: str


class UnwrapAnswer(Struct, frozen=True, kw_only=True):
    """The answer behind this wrapping token (`wrapping.unwrap`, `wrapping.rewrap`)."""

    token: str

    def __repr__(self) -> str:
        return "UnwrapAnswer()"


class WrapAnswer(Struct, frozen=True, kw_only=True):
    """An answer to be kept behind a new token for `ttl` ns (`wrapping.wrap`).

    `accessor`: of the token that the answer brings; empty: it brings none.
    """

    content: bytes
    ttl: int
    creation_path: str
    accessor: str = ""

    def __repr__(self) -> str:
        return f"WrapAnswer(creation_path={self.creation_path!r})"


class KeepValue(Struct, frozen=True, kw_only=True):
    """A value for the caller's cubbyhole (`cubbyhole.write`)."""

    value: bytes

    def __repr__(self) -> str:
        return "KeepValue()"


class OpenSession(Struct, frozen=True, kw_only=True):
    """Open a browser's session (`session.open`).

    `exchange`: in the place of the caller's own session, which a login made.
    """

    exchange: bool = False


class SessionSelector(Struct, frozen=True, kw_only=True):
    """The session with this accessor, of the caller or of `user` (an id)."""

    accessor: str
    user: str = ""


class AccessorSelector(Struct, frozen=True, kw_only=True):
    """The token with this accessor (`token.lookup_accessor`, `token.revoke_accessor`)."""

    accessor: str


class RenewToken(Struct, frozen=True, kw_only=True):
    """Renew by text, by accessor, or (both empty) oneself. `increment` in ns; 0: its own TTL."""

    token: str = ""
    accessor: str = ""
    increment: int = 0


class CreateUser(Struct, frozen=True, kw_only=True):
    """A new user."""

    username: str
    email: str = ""
    roles: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()


class UpdateUser(Struct, frozen=True, kw_only=True):
    """Change a user; what is None stays."""

    email: str | None = None
    roles: tuple[str, ...] | None = None
    policies: tuple[str, ...] | None = None
    status: str | None = None


class ListUsers(Struct, frozen=True, kw_only=True):
    """Users by id, beyond the id `after`; `username` set: that one alone, in any spelling."""

    username: str = ""
    after: str = ""
    limit: int = 100


class ListIdentities(Struct, frozen=True, kw_only=True):
    """Entities, groups or aliases, in order, beyond the one of `after`."""

    after: str = ""
    limit: int = 10_000


class FindIdentity(Struct, frozen=True, kw_only=True):
    """An entity or group by one of these: id, name, alias id, or alias name and mount."""

    id: str = ""
    name: str = ""
    alias_id: str = ""
    alias_name: str = ""
    alias_accessor: str = ""


class CheckSource(Struct, frozen=True, kw_only=True):
    """Have the source of an alias asked whether it still has whom it named."""

    alias_key: str


class DeleteEntities(Struct, frozen=True, kw_only=True):
    """Some entities, by id."""

    ids: tuple[str, ...]


class MergeEntities(Struct, frozen=True, kw_only=True):
    """Make the entities `taken` one with `into`; of two aliases of a mount those of `keep` stay."""

    into: str
    taken: tuple[str, ...]
    keep: tuple[str, ...] = ()


class ChangeMembers(Struct, frozen=True, kw_only=True):
    """Entities that come into a group, and such that leave it, by id."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class WriteGroupAlias(Struct, frozen=True, kw_only=True):
    """What is written of a group's alias; empty stays as it is."""

    name: str = ""
    accessor: str = ""
    group_id: str = ""


class WriteRole(Struct, frozen=True, kw_only=True):
    """Make or replace a role."""

    description: str = ""
    policies: tuple[str, ...] = ()


class CreateApiKey(Struct, frozen=True, kw_only=True):
    """A new API key of the user with this name. `permissions` are plain data, not yet validated."""

    user: str
    name: str
    permissions: object = ()
    expires_at: int = 0


class ListApiKeys(Struct, frozen=True, kw_only=True):
    """The API keys of the user with this name."""

    user: str


class ReadAuditRecord(Struct, frozen=True, kw_only=True):
    """One record of the audit log, by its number."""

    seq: int


class HashAuditValue(Struct, frozen=True, kw_only=True):
    """A value whose hash is looked for in the audit log."""

    value: object


class ApplyBundle(Struct, frozen=True, kw_only=True):
    """A control plane's signed bundle, as it came."""

    signed: bytes


class ListEgress(Struct, frozen=True, kw_only=True):
    """A page of the egress ledger: the newest entries below number `before`, 0 for all."""

    before: int = 0
    limit: int = 100
