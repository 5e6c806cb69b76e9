"""`/api/v1/system`: seal, rotate, look at the keyring, the actors and the mounts."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from actors.tree import Node
from protocols.instant import SECOND, parse_duration, rfc3339, rfc3339_or_none
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_folder, system_path
from vault.edge.request import Request
from vault.edge.shares import MAX_SHARE_TEXT, decode_share
from vault.model.health import DiskHealth, HealthState, SinkHealth
from vault.model.link import CentralBundle, CentralPolicy, LinkStatus, SentPage, SentVerdict
from vault.model.path import ResourcePath
from vault.model.payloads import (
    MAX_PAGE_SIZE,
    MAX_VERSIONS,
    ListEgress,
    Nothing,
    RewrapDataKeys,
    TuneMount,
    WriteMount,
)
from vault.model.records import MountRow
from vault.model.root_key import (
    RotatedRootKey,
    RotateRootKey,
    SealMigrationStatus,
    SubmitShare,
)

system = Endpoints("system", "The agent itself.")
MILLISECOND: Final = SECOND // 1000
_BUNDLE: Final = ResourcePath.parse("sys/fleet/bundle")


class KeyStatus(Struct, frozen=True, kw_only=True):
    """The key that seals now: its generation, since when, how often it was used.

    `oldest_generation` is not retired yet; `rewrapped` false: versions may be under older keys.
    `reserved_uses`, never fewer than `uses`, count after a crash; an orderly stop counts `uses`.
    """

    epoch: int
    generation: int
    oldest_generation: int
    rewrapped: bool
    created_at: str
    uses: int
    reserved_uses: int
    rotation_due: bool


class LinkNotice(Struct, frozen=True, kw_only=True):
    """Something that the control plane has told."""

    code: str
    severity: str
    at: str


class LinkBody(Struct, frozen=True, kw_only=True):
    """How the agent stands with its control plane; a time is null for never.

    `state`: online, syncing, offline, queueing. `standing`: unenrolled, pending, enrolled, expired.
    `health`: serving, sealed, refusing. `faults`: sessions that ended because the control plane
    broke the protocol. `round_trip`: seconds. `trouble`: why it is not better, for people.
    """

    enabled: bool
    state: str
    health: str
    since: str | None
    standing: str
    endpoint: str
    org: str
    vault: str
    fingerprint: str
    generation: int
    certificate_expires: str | None
    connected: bool
    connected_at: str | None
    round_trip: float | None
    attempts: int
    faults: int
    outbox_messages: int
    outbox_bytes: int
    dropped: int
    egress_bytes: int
    cosigned_size: int
    policy_version: int
    policy_expires: str | None
    policy_trouble: str
    trouble: str
    notifications: list[LinkNotice]

    @classmethod
    def of(cls, status: LinkStatus) -> "LinkBody":
        """From the agent's own."""
        notices = [
            LinkNotice(code=one.code, severity=one.severity, at=rfc3339(one.at * MILLISECOND))
            for one in status.notifications
        ]
        dated = {
            name: rfc3339_or_none(getattr(status, name))
            for name in ("since", "certificate_expires", "connected_at", "policy_expires")
        }
        return cls(**msgspec.structs.asdict(status) | dated | {"notifications": notices})


class BundleBody(Struct, frozen=True, kw_only=True):
    """A control plane's bundle; version 0 for none. `org` and `vault`: by whose enrolment it came.

    `expires` is null for none.
    """

    version: int
    org: str
    vault: str
    expires: str | None
    policies: tuple[CentralPolicy, ...]

    @classmethod
    def of(cls, bundle: CentralBundle) -> "BundleBody":
        """From the agent's own."""
        dated = {"expires": rfc3339_or_none(bundle.expires)}
        return cls(**msgspec.structs.asdict(bundle) | dated)


class HealthBody(Struct, frozen=True, kw_only=True):
    """Rates are of the last seconds, a second; `p50` and `p99` are upper bounds in milliseconds.

    `opened_at`: since when it is unsealed. `trouble`: of audit log and anchor, for people.
    """

    version: str
    opened_at: str
    connections: int
    requests: int
    requests_per_second: float | None
    errors_per_second: float | None
    p50: float | None
    p99: float | None
    key_epoch: int
    key_generation: int
    key_created_at: str
    key_uses: int
    rotation_due: bool
    cache_bytes: int
    cache_max_bytes: int
    cache_entries: int
    cache_hit_rate: float
    audit_size: int
    trouble: str
    sinks: tuple[SinkHealth, ...]
    disks: tuple[DiskHealth, ...]

    @classmethod
    def of(cls, state: HealthState) -> "HealthBody":
        """From the agent's own."""
        dated = {name: rfc3339(getattr(state, name)) for name in ("opened_at", "key_created_at")}
        return cls(**msgspec.structs.asdict(state) | dated)


class Rotated(Struct, frozen=True):
    """The generation that seals from now on."""

    generation: int


class NewRewrap(Struct, frozen=True, forbid_unknown_fields=True):
    """`again`: look at all versions once more, though an earlier pass was complete."""

    again: bool = False


class Rewrapped(Struct, frozen=True, kw_only=True):
    """How many versions this step has put under `generation`, of how many the pass has looked at.

    Unless it is complete, ask again: it goes on where it was.
    """

    versions: int
    looked_at: int
    generation: int
    complete: bool


class Retired(Struct, frozen=True):
    """The generations whose keys are gone."""

    generations: list[int]


class ActorBody(Struct, frozen=True, kw_only=True):
    """One actor of the running agent."""

    name: str
    kind: str
    state: str
    restarts: int
    handled: int
    mean_seconds: float
    mailbox_depth: int | None
    mailbox_bound: int | None


class ActorList(Struct, frozen=True):
    """Every actor, parents before their children."""

    actors: list[ActorBody]


class CacheBody(Struct, frozen=True, kw_only=True):
    """The cache of sealed rows: how it is set, and how it does since the vault was opened.

    A miss is a load from the database that somebody waited for; `hit_rate` is in percent.
    """

    eviction_policy: str
    ttl_seconds: float
    max_bytes: int
    bytes: int
    entries: int
    hits: int
    misses: int
    evictions: int
    hit_rate: float


class MountBody(Struct, frozen=True, kw_only=True):
    """A prefix of the name space, with the settings that its secrets inherit."""

    path: str
    id: str
    type: str
    version: int
    description: str
    max_versions: int
    cas_required: bool
    delete_version_after_seconds: int
    default_lease_ttl_seconds: int
    max_lease_ttl_seconds: int
    created_at: str

    @classmethod
    def of(cls, row: MountRow) -> "MountBody":
        """From the row."""
        return cls(
            path=row.path,
            id=row.id,
            type=row.type,
            version=row.version,
            description=row.description,
            max_versions=row.max_versions,
            cas_required=row.cas_required,
            delete_version_after_seconds=row.delete_version_after // SECOND,
            default_lease_ttl_seconds=(row.default_lease_ttl or 0) // SECOND,
            max_lease_ttl_seconds=(row.max_lease_ttl or 0) // SECOND,
            created_at=rfc3339(row.created_at),
        )


class MountList(Struct, frozen=True):
    """Every mount by path."""

    mounts: list[MountBody]


class EgressQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Entries below number `before`; 0: the newest."""

    before: Annotated[int, Meta(ge=0, lt=2**53)] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] = 100


class NewMount(Struct, frozen=True, forbid_unknown_fields=True):
    """A mount with KV version 1 (one value, no history) or 2, or for dynamic credentials."""

    version: Literal[1, 2] = 2
    description: Annotated[str, Meta(max_length=1024)] = ""
    type: Literal["kv", "database"] = "kv"


class MountChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays. A duration is `90d`, `1h30m` or seconds; a negative one is off."""

    version: Literal[1, 2] | None = None
    description: Annotated[str, Meta(max_length=1024)] | None = None
    max_versions: Annotated[int, Meta(ge=0, le=MAX_VERSIONS)] | None = None
    cas_required: bool | None = None
    delete_version_after: str | int | None = None
    default_lease_ttl: str | int | None = None
    max_lease_ttl: str | int | None = None


@system.add(
    "POST", "system/seal", "Seal the vault once the requests in flight are done", status=204
)
async def seal(dialect: Dialect, request: Request) -> None:
    await dialect.run_operation(request, operations.SEAL, system_path("seal"), Nothing())
    await dialect.service.wait_sealed()  # answered when it is so


@system.add("POST", "system/rotate", "Make a new key-encryption key", returns=Rotated)
async def rotate(dialect: Dialect, request: Request) -> Rotated:
    return Rotated(
        await dialect.run_operation(
            request, operations.ROTATE_KEY, system_path("rotate"), Nothing()
        )
    )


class NewRootWrapping(Struct, frozen=True, kw_only=True):
    """`new_root_key`: another root key, which wraps the keyring anew.

    Without it the present one is wrapped by the newest version of each key, and nothing else
    changes.
    """

    new_root_key: bool = False


@system.add(
    "POST",
    "system/rewrap",
    "Put the data keys of some more versions under the active key-encryption key",
    body=NewRewrap,
    returns=Rewrapped,
)
async def rewrap(dialect: Dialect, request: Request, *, body: NewRewrap) -> Rewrapped:
    payload = RewrapDataKeys(again=body.again)
    step = await dialect.run_operation(
        request, operations.REWRAP_DATA_KEYS, system_path("rewrap"), payload
    )
    return Rewrapped(
        versions=step.moved,
        looked_at=step.looked_at,
        generation=step.generation,
        complete=step.complete,
    )


@system.add(
    "POST",
    "system/retire-keys",
    "Drop older key-encryption keys, once a whole pass of rewrapping has found nothing under them",
    returns=Retired,
    errors=(409,),
)
async def retire_keys(dialect: Dialect, request: Request) -> Retired:
    path = system_path("retire-keys")
    return Retired(await dialect.run_operation(request, operations.RETIRE_KEYS, path, Nothing()))


@system.add(
    "POST",
    "system/rotate-root",
    "Wrap the root key, or a new one, by the newest versions of the key providers' keys",
    body=NewRootWrapping,
    returns=RotatedRootKey,
    errors=(409,),
)
async def rotate_root(
    dialect: Dialect, request: Request, *, body: NewRootWrapping
) -> RotatedRootKey:
    path, payload = system_path("rotate-root"), RotateRootKey(new_root_key=body.new_root_key)
    return await dialect.run_operation(request, operations.ROTATE_ROOT_KEY, path, payload)


class MigrationShare(Struct, frozen=True, kw_only=True):
    """A share in hexadecimal or base64. `nonce`: of the attempt; without it the present one."""

    key: Annotated[str, Meta(min_length=1, max_length=MAX_SHARE_TEXT)]
    nonce: Annotated[str, Meta(max_length=64)] = ""

    def __repr__(self) -> str:
        return f"MigrationShare(nonce={self.nonce!r})"


@system.add(
    "GET",
    "system/seal-migration",
    "Whether the root key is to be kept by another seal, and how many shares are there",
    returns=SealMigrationStatus,
)
async def seal_migration(dialect: Dialect, request: Request) -> SealMigrationStatus:
    path = system_path("seal-migration")
    return await dialect.run_operation(request, operations.READ_SEAL_MIGRATION, path, Nothing())


@system.add(
    "POST",
    "system/seal-migration",
    "Offer a share; with the last one the root key is kept by the seal of the configuration",
    body=MigrationShare,
    returns=SealMigrationStatus,
    errors=(409,),
)
async def migrate_seal(
    dialect: Dialect, request: Request, *, body: MigrationShare
) -> SealMigrationStatus:
    path, payload = system_path("seal-migration"), SubmitShare(decode_share(body.key), body.nonce)
    return await dialect.run_operation(request, operations.MIGRATE_SEAL, path, payload)


@system.add(
    "DELETE",
    "system/seal-migration",
    "Forget the shares that were offered to a seal migration",
    status=204,
)
async def cancel_seal_migration(dialect: Dialect, request: Request) -> None:
    path = system_path("seal-migration")
    await dialect.run_operation(request, operations.CANCEL_SEAL_MIGRATION, path, Nothing())


@system.add("GET", "system/key-status", "The key-encryption key", returns=KeyStatus)
async def key_status(dialect: Dialect, request: Request) -> KeyStatus:
    status = await dialect.run_operation(
        request, operations.READ_KEY_STATUS, system_path("key-status"), Nothing()
    )
    keyring = status.keyring
    return KeyStatus(
        epoch=keyring.epoch,
        generation=keyring.generation,
        oldest_generation=keyring.oldest_generation,
        rewrapped=status.rewrapped,
        created_at=rfc3339(keyring.created_at),
        uses=keyring.uses,
        reserved_uses=keyring.reserved_uses,
        rotation_due=keyring.rotation_due,
    )


@system.add(
    "GET", "system/actors", "The actors: mailbox depth, restarts, time per message",
    returns=ActorList,
)  # fmt: skip
async def actors(dialect: Dialect, request: Request) -> ActorList:
    tree = await dialect.run_operation(
        request, operations.READ_ACTORS, system_path("tree"), Nothing()
    )
    return ActorList(actors=[_actor(node) for node in tree.walk()])


@system.add("GET", "system/cache", "The cache of sealed rows", returns=CacheBody)
async def cache(dialect: Dialect, request: Request) -> CacheBody:
    state = await dialect.run_operation(
        request, operations.READ_CACHE, system_path("cache"), Nothing()
    )
    return CacheBody(
        eviction_policy=state.eviction_policy,
        ttl_seconds=state.ttl / SECOND,
        max_bytes=state.max_bytes,
        bytes=state.bytes,
        entries=state.entries,
        hits=state.hits,
        misses=state.misses,
        evictions=state.evictions,
        hit_rate=state.hit_rate,
    )


@system.add("GET", "system/link", "The link to the control plane", returns=LinkBody)
async def link(dialect: Dialect, request: Request) -> LinkBody:
    found = await dialect.run_operation(
        request, operations.READ_LINK, system_path("link"), Nothing()
    )
    return LinkBody.of(found)


@system.add(
    "GET", "system/link/policies", "The control plane's bundle in force", returns=BundleBody
)
async def link_policies(dialect: Dialect, request: Request) -> BundleBody:
    return BundleBody.of(
        await dialect.run_operation(request, operations.READ_BUNDLE, _BUNDLE, Nothing())
    )


@system.add(
    "DELETE", "system/link/policies",
    "Drop the control plane's bundle, and its version with it: the next one may have any",
    returns=BundleBody,
)  # fmt: skip
async def reset_policies(dialect: Dialect, request: Request) -> BundleBody:
    return BundleBody.of(
        await dialect.run_operation(request, operations.RESET_BUNDLE, _BUNDLE, Nothing())
    )


@system.add(
    "GET", "system/egress", "What was sent to the control plane, newest first", query=EgressQuery,
    returns=SentPage,
)  # fmt: skip
async def egress(dialect: Dialect, request: Request, *, query: EgressQuery) -> SentPage:
    payload = ListEgress(before=query.before, limit=query.limit)
    return await dialect.run_operation(
        request, operations.LIST_EGRESS, system_path("egress"), payload
    )


@system.add(
    "GET", "system/egress-verification", "The whole egress ledger, checked", returns=SentVerdict
)
async def egress_verification(dialect: Dialect, request: Request) -> SentVerdict:
    path = system_path("egress")
    return await dialect.run_operation(request, operations.VERIFY_EGRESS, path, Nothing())


@system.add("GET", "system/health", "How the open agent does", returns=HealthBody)
async def health(dialect: Dialect, request: Request) -> HealthBody:
    path = system_path("health")
    return HealthBody.of(
        await dialect.run_operation(request, operations.READ_HEALTH, path, Nothing())
    )


@system.add("GET", "system/mounts", "List the mounts", returns=MountList)
async def mounts(dialect: Dialect, request: Request) -> MountList:
    found = await dialect.run_operation(
        request, operations.LIST_MOUNTS, system_folder("mounts"), Nothing()
    )
    return MountList(mounts=[MountBody.of(row) for row in found])


@system.add("GET", "system/mounts/{path}", "Read a mount", returns=MountBody)
async def mount(dialect: Dialect, request: Request, path: str) -> MountBody:
    return MountBody.of(
        await dialect.run_operation(request, operations.READ_MOUNT, _at(path), Nothing())
    )


@system.add(
    "POST", "system/mounts/{path}", "Make a mount", body=NewMount, returns=MountBody, status=201,
    errors=(409,),
)  # fmt: skip
async def make_mount(dialect: Dialect, request: Request, path: str, *, body: NewMount) -> MountBody:
    payload = WriteMount(version=body.version, description=body.description, type=body.type)
    return MountBody.of(
        await dialect.run_operation(request, operations.WRITE_MOUNT, _at(path), payload)
    )


@system.add(
    "PATCH", "system/mounts/{path}", "Change a mount's settings", body=MountChanges,
    returns=MountBody,
)  # fmt: skip
async def change_mount(
    dialect: Dialect, request: Request, path: str, *, body: MountChanges
) -> MountBody:
    payload = TuneMount(
        version=body.version,
        description=body.description,
        max_versions=body.max_versions,
        cas_required=body.cas_required,
        delete_version_after=_duration(body, "delete_version_after"),
        default_lease_ttl=_duration(body, "default_lease_ttl"),
        max_lease_ttl=_duration(body, "max_lease_ttl"),
    )
    return MountBody.of(
        await dialect.run_operation(request, operations.TUNE_MOUNT, _at(path), payload)
    )


@system.add(
    "DELETE", "system/mounts/{path}", "Erase a mount with every secret in it, for good", status=204
)
async def erase_mount(dialect: Dialect, request: Request, path: str) -> None:
    await dialect.run_operation(request, operations.DELETE_MOUNT, _at(path), Nothing())


def _duration(body: MountChanges, name: str) -> int | None:
    given: str | int | None = getattr(body, name)
    return None if given is None else parse_duration(given, name)


def _at(path: str) -> ResourcePath:
    return system_path("mounts", path.removesuffix("/"))


def _actor(node: Node) -> ActorBody:
    box = node.mailbox
    return ActorBody(
        name=node.name,
        kind=node.kind,
        state=node.state,
        restarts=node.restarts,
        handled=node.handled,
        mean_seconds=node.mean_time,
        mailbox_depth=None if box is None else box.depth,
        mailbox_bound=None if box is None else box.bound,
    )
