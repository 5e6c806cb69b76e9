"""The data path of an open vault: every part wired to the ones it may use, from the bottom up.

    store ─ audit ─ barrier ─ authn, authz ─ handlers ─ pipeline ─ background work

It exists while the vault is unsealed, and is taken down in reverse.
"""

import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Final, Protocol

import trio

from actors import Node, World
from actors.periodic import Job, run_periodic_jobs
from protocols.link.vocabulary import AlertCode
from vault.anchor.aftermath import foreign_write_event
from vault.anchor.keeper import Keeper, keeping
from vault.audit.broker import AuditBroker, open_audit
from vault.audit.feed import LogFollower
from vault.audit.keys import AuditKeys
from vault.audit.layout import LogLayout
from vault.audit.periodic_verification import PeriodicVerification, open_periodic_verification
from vault.audit.prover import make_prover
from vault.audit.sinks.database import AuditIndex, open_audit_index
from vault.audit.sinks.file import FileSink
from vault.audit.sinks.syslog import SyslogConfig, SyslogForwarder, open_syslog
from vault.audit.verification import open_verification
from vault.audit.writer import AuditConfig
from vault.authn.api_keys import ApiKeys
from vault.authn.authenticator import Authenticator, CredentialMethod
from vault.authn.bearer import api_key_method, token_method
from vault.authn.credential_owners import CredentialOwners
from vault.authn.credential_scheme import API_KEY, TOKEN
from vault.authn.credential_usage import CredentialUsage
from vault.authn.lockout import Lockout
from vault.authn.revocation import Revoker
from vault.authn.roles import Roles
from vault.authn.sessions import SessionLimits
from vault.authn.stream_registry import StreamRegistry
from vault.authn.tokens import Tokens
from vault.authn.users import Users
from vault.authz.authorizer import Authorizer
from vault.authz.policy_store import PolicyStore
from vault.authz.rate_limits import SELF_SERVICE, RateLimiter
from vault.authz.record_limits import FailureLimits, RecordLimits
from vault.barrier import Barrier, RowGuard
from vault.beside import ALONE, Beside, Opening
from vault.config import Settings
from vault.config.caching import Cache as Caching
from vault.crypto.kek.file import FileRootKey
from vault.crypto.keyring import Keyring
from vault.errors import TamperedError, VaultError
from vault.footing import DatabaseWatch, Footing, Places, alert_of, find_footing
from vault.gate import Unit
from vault.handlers.access_counters import AccessCounters
from vault.handlers.api_keys import ApiKeyHandlers
from vault.handlers.audit import AuditHandlers
from vault.handlers.control_plane import ControlPlaneHandlers, LinkPorts
from vault.handlers.handler import Handlers
from vault.handlers.health import HealthHandlers
from vault.handlers.listing import ListingHandlers
from vault.handlers.live import LiveHandlers, SubscriberAccess
from vault.handlers.live_topics import actor_reader, event_reader, state_reader
from vault.handlers.malformed_requests import MalformedRequestHandlers
from vault.handlers.metadata import MetadataHandlers
from vault.handlers.mounts import MountHandlers
from vault.handlers.policies import PolicyHandlers
from vault.handlers.policy_replay import PolicyReplayHandlers
from vault.handlers.rewrap import KeyRewrapper
from vault.handlers.roles import RoleHandlers
from vault.handlers.root_key import RootKeyHandlers
from vault.handlers.secrets import SecretHandlers
from vault.handlers.sessions import SessionHandlers
from vault.handlers.system import SystemHandlers
from vault.handlers.tokens import TokenHandlers
from vault.handlers.usage import OpaqueId, UsageHandlers
from vault.handlers.users import UserHandlers
from vault.handlers.versions import VersionHandlers
from vault.keyed import Scheme, audit_keys, opaque_id
from vault.metrics import Metrics
from vault.model.mounts import MountBook
from vault.model.path import ResourcePath
from vault.model.payloads import WriteMount
from vault.mutations import Mutations
from vault.opened import record_opening
from vault.pipeline import Following, Pipeline, stored_facts
from vault.root_key import RootKey
from vault.store.cache import CacheConfig
from vault.store.inspection import inspecting_database
from vault.store.row_index import RowIndex
from vault.store.shelf import Policy
from vault.store.sqlite import SqliteBackend
from vault.store.store import Store, open_store
from vault.store.tables import AUDIT
from vault.store.warmup import warming
from vault.work.clock import ClockAhead
from vault.work.failures import EVERY, FAILURES, REFUSALS, RefusedReport, report_each
from vault.work.lockouts import LockoutReport
from vault.work.rewrap import KeyRewrap
from vault.work.rotation import KeyRotation

log: Final = logging.getLogger("freehold.seal")

FLUSH_EVERY: Final = 10.0  # seconds; what a crash may lose of counters that the audit log has too
SWEEP_EVERY: Final = 60.0  # seconds; expired tokens are refused at once, and cleared away by this
FOLLOW_EVERY: Final = 1.0  # seconds; what looks at a snapshot outside of a request may be behind
CLOCK_EVERY: Final = 60.0  # seconds; how far a clock that was set back can reach at most
ROTATION_EVERY: Final = 3600.0  # seconds between looks at whether the KEK is due
REWRAP_EVERY: Final = 60.0  # seconds between looks at whether versions are under an older KEK
DEV_MOUNT: Final = "secret/"


@dataclass(frozen=True)
class Parts:
    """What the data path is made from, and what outlives it."""

    settings: Settings
    backend: SqliteBackend
    metrics: Metrics
    world: World
    dev_token: str = ""  # development: make sure that this root token and KV v2 at secret/ exist
    beside: Beside = ALONE
    seam: LinkPorts = field(default_factory=LinkPorts)
    pipeline: Callable[..., Pipeline] = Pipeline

    @property
    def key_file(self) -> FileRootKey | None:
        """Where the root key is; None: in people's shares."""
        file = self.settings.encryption.key_file
        return None if file is None else FileRootKey(file)

    @property
    def places(self) -> Places:
        """Where anchor and audit log lie, and for how long the latter is kept."""
        kept = self.settings.audit.retention_days
        return Places(self.settings.anchor_file, self.settings.audit_log, kept)


class SealControl(Protocol):
    """What the data path asks of the gate that has opened it."""

    def want_seal(self) -> None:
        """See `Gate`."""

    async def load(self) -> None:
        """See `Gate`."""


@asynccontextmanager
async def open_unit(
    parts: Parts, seal: SealControl, keyring: Keyring, root_key: bytes, by_person: bool
) -> AsyncIterator[Unit]:
    """The data path of an unsealed vault, for the length of the block.

    `by_person`: somebody has brought the root key or its shares, which ends an ordered seal.
    """
    world = parts.world
    footing = await _found(parts, keyring)
    if not by_person:
        footing.need_person(accepts=bool(parts.dev_token))
    keyring, keeper = footing.keyring, footing.keeper
    rows = await world.run_sync(RowIndex, parts.beside.rows(), footing.standing.rows)
    footing.standing.rows.clear()
    cache, mark = parts.beside.fenced(footing.marker, cache_config(parts.settings.cache))
    async with (
        keeping(keeper),
        open_store(
            parts.backend, RowGuard(keyring), world, cache=cache, mark=mark, index=rows
        ) as store,
        footing.taken(store, root_key),
        _open_audit(parts, keyring, store, footing) as (audit, index),
        open_periodic_verification(*_log(parts, keyring, footing), world) as inspection,
        open_verification(*_log(parts, keyring, footing), world) as verification,
    ):
        await footing.confirm(audit)
        await record_opening(audit, store, world, first=footing.is_first, by_person=by_person)
        await footing.end_order(store)
        interval = parts.settings.encryption.rotation_interval
        barrier = Barrier(store, keyring, root_key, world, rotation_interval=interval)
        await barrier.open()
        branches: list[Callable[[], Node]] = [store.tree]
        tree = partial(_tree, branches)
        prover = make_prover(parts.settings.audit_log, audit_keys(keyring), world)
        scheme, opaque = Scheme(keyring.pepper), opaque_id(keyring)
        base = Base(parts, seal, store, barrier, audit, scheme, opaque, footing)
        order, rewrapping = partial(footing.order_seal, store), KeyRewrapper(barrier)
        system = SystemHandlers(barrier, seal.want_seal, order, tree, rewrapping)
        trouble = partial(_trouble, inspection, keeper, index)
        wired = await _wire(
            base, system, AuditHandlers(audit, index, prover, trouble, verification)
        )
        tampered = partial(_alert, parts, AlertCode.STORE_TAMPERED)
        await index.warn(partial(_index_changed, parts, audit))
        watch = DatabaseWatch(footing.marker, audit, seal.want_seal, world, tampered)
        async with (
            _exact_uses(barrier),
            _lent(parts, footing, barrier, wired.book),
            inspecting_database(store, watch, footing.foreign_writes, world),
            run_periodic_jobs(wired.jobs, world) as work,
            warming(store, world, parts.settings.leader_warming),
        ):
            branches.append(work.snapshot)
            if parts.dev_token:
                await _furnish(parts.dev_token, wired)
            with (
                _followed(parts.metrics, store, audit, tree),
                parts.metrics.follow(
                    audit_damaged=lambda: float(bool(inspection.damage)),
                    anchor_failing=lambda: float(bool(keeper.error)),
                    retention_suspended=lambda: float(footing.retention.clock.is_suspended),
                    key_generation=lambda: float(barrier.active_generation),
                    key_rotation_due=lambda: float(barrier.rotation_due),
                ),
            ):
                opening = Opening(
                    root_key, keyring.org, keyring.vault, barrier.epoch, parts.seam.ceiling,
                    audit, Mutations(wired.secrets, wired.following), wired.access, wired.usage,
                )  # fmt: skip
                async with parts.beside.opened(opening):
                    yield Unit(
                        wired.pipeline, wired.mounts.mounts, audit.refusal_reason, parts.beside.shut
                    )


async def _found(parts: Parts, keyring: Keyring) -> Footing:
    """As `find_footing`; the control plane is told of what was set back or changed."""
    try:
        found = await find_footing(
            parts.places, parts.backend, keyring, audit_keys(keyring), parts.world
        )
    except TamperedError as error:
        _alert(parts, alert_of(error.code))
        raise
    for finding in found.standing.accepted[:1]:
        _alert(parts, alert_of(finding.code))
    return found


async def _index_changed(parts: Parts, audit: AuditBroker, what: str) -> None:
    """As an alert, to all who hear of one. Raises `UnavailableError`."""
    _alert(parts, AlertCode.STORE_TAMPERED)
    await audit.record(foreign_write_event("audit_index_tampered", what, parts.world))


def _alert(parts: Parts, code: AlertCode) -> None:
    parts.metrics.store_tampered += code is AlertCode.STORE_TAMPERED
    parts.seam.raise_alert(code, 1)


@dataclass(frozen=True)
class Base:
    """What lies below all nouns."""

    parts: Parts
    seal: SealControl
    store: Store
    barrier: Barrier
    audit: AuditBroker
    scheme: Scheme
    opaque: OpaqueId
    footing: Footing


@dataclass(frozen=True)
class Wired:
    """The pipeline, and what has to be reached beside it."""

    pipeline: Pipeline
    following: Following
    secrets: SecretHandlers
    book: PolicyStore
    mounts: MountHandlers
    tokens: Tokens
    access: AccessCounters
    usage: CredentialUsage
    jobs: list[Job]


async def _wire(base: Base, system: SystemHandlers, audits: AuditHandlers) -> Wired:
    """Make the nouns and their handlers, and the pipeline over them."""
    store, barrier, world = base.store, base.barrier, base.parts.world
    seam = base.parts.seam
    book = PolicyStore(store, world, seam.ceiling)
    await book.reload()
    authorizer = Authorizer(book)
    access = AccessCounters(barrier, world, seam.tally.add_reads)
    usage = CredentialUsage(store, world, seam.tally.add_uses)
    streams = StreamRegistry()
    revoker = Revoker(store, streams)
    known = base.parts.settings.authentication
    rule = SessionLimits(timeout=known.session_timeout, max_per_user=known.max_sessions_per_user)
    tokens = Tokens(store, base.scheme, revoker, world, rule)
    users = Users(store, revoker, world)
    keys = ApiKeys(store, base.scheme, revoker, usage, world)
    mounts = MountHandlers(barrier, MountBook(), authorizer, world)
    await mounts.reload()
    owners = CredentialOwners(keys, tokens, users)
    secrets = SecretHandlers(barrier, mounts.mounts, access, world)
    root_key = RootKey(
        barrier,
        base.parts.key_file,
        world,
        mint_root=partial(_root_token, tokens),
        rekeying=base.parts.beside.rekeying,
        rekeyed=base.seal.load,
        want_seal=base.seal.want_seal,
    )
    handlers: Handlers = {
        **secrets.handlers(),
        **VersionHandlers(barrier, world).handlers(),
        **MetadataHandlers(barrier, mounts.mounts, access, world).handlers(),
        **ListingHandlers(barrier, authorizer, world).handlers(),
        **mounts.handlers(),
        **MalformedRequestHandlers(authorizer).handlers(),
        **TokenHandlers(tokens, keys, authorizer, world).handlers(),
        **SessionHandlers(tokens, known.session_idle, known.session_timeout).handlers(),
        **UserHandlers(users, authorizer).handlers(),
        **RoleHandlers(Roles(store, world), authorizer).handlers(),
        **ApiKeyHandlers(keys, users, authorizer, world).handlers(),
        **PolicyHandlers(book, authorizer, users, barrier, world).handlers(),
        **ControlPlaneHandlers(book, seam, world).handlers(),
        **UsageHandlers(barrier, authorizer, base.opaque, owners, world).handlers(),
        **audits.handlers(),
        **system.handlers(),
        **RootKeyHandlers(root_key).handlers(),
        **_looks(base, system, audits, SubscriberAccess(tokens, streams, authorizer, world)),
    }
    again = PolicyReplayHandlers(book, audits.index, owners, barrier, base.opaque, handlers, world)
    handlers |= again.handlers()
    failed = base.parts.settings.limits.failures
    failures = FailureLimits(failed.per_second, failed.burst_size, failed.share, world.now)
    denied = base.parts.settings.limits.refusals
    refusals = RecordLimits(denied.per_second, denied.burst_size, denied.share, world.now)
    following = Following((book, mounts, barrier), store.ended_at_all)
    lockout = base.parts.beside.lockout()
    pipeline = _pipeline(
        base, authorizer, usage, handlers,
        lockout=lockout, failures=failures, refusals=refusals, following=following,
    )  # fmt: skip
    rotation = KeyRotation(pipeline.run, lambda: barrier.rotation_due, world, seam.raise_alert)
    jobs = [
        Job("access-counts", FLUSH_EVERY, access.flush, at_end=True),
        Job("credential-usage", FLUSH_EVERY, usage.flush, at_end=True),
        Job("expired-tokens", SWEEP_EVERY, partial(revoker.revoke_expired, world.clock)),
        Job("late-changes", FOLLOW_EVERY, following.follow),
        Job("clock", CLOCK_EVERY, partial(_keep_clock, base, store), at_end=True),
        Job("clock-ahead", CLOCK_EVERY, ClockAhead(base.audit.record, world)),
        Job(
            "key-rewrap",
            REWRAP_EVERY,
            KeyRewrap(pipeline.run, system.rewrapper.has_old_keys, world),
        ),
        Job("root-key-attempts", SWEEP_EVERY, root_key.expire),
        Job("key-rotation", ROTATION_EVERY, rotation),
        Job("lockouts", EVERY, LockoutReport(lambda: lockout.begun, seam.raise_alert), at_end=True),
        Job(
            "refused-authentications",
            EVERY,
            partial(
                report_each,
                RefusedReport(FAILURES, failures, base.audit.record, world),
                RefusedReport(REFUSALS, refusals, base.audit.record, world),
            ),
            at_end=True,
        ),
    ]
    return Wired(pipeline, following, secrets, book, mounts, tokens, access, usage, jobs)


async def _keep_clock(base: Base, store: Store) -> None:
    if await base.footing.keep_clock(store, base.audit):
        base.parts.beside.confirm_clock()


async def _root_token(tokens: Tokens) -> str:
    return (await tokens.create_root()).text


def _looks(
    base: Base, system: SystemHandlers, audits: AuditHandlers, watchers: SubscriberAccess
) -> Handlers:
    """How the agent does: asked for once, or followed by a page."""
    parts, world = base.parts, base.parts.world
    release, now = version("freehold"), world.now()
    health = HealthHandlers(base.barrier, parts.metrics, audits.state, release, now, world)
    topics = {
        "health": state_reader(health.state),
        "actors": actor_reader(system.tree),
        "link": state_reader(parts.seam.link_status),
        "audit": event_reader(audits.index),
        "verification": state_reader(lambda: audits.verification.state),
    }
    return {**health.handlers(), **LiveHandlers(topics, watchers).handlers()}


def _pipeline(
    base: Base,
    authorizer: Authorizer,
    usage: CredentialUsage,
    handlers: Handlers,
    *,
    lockout: Lockout,
    failures: FailureLimits,
    refusals: RecordLimits,
    following: Following,
) -> Pipeline:
    parts, world = base.parts, base.parts.world
    known: dict[str, CredentialMethod] = {
        TOKEN: token_method(base.store, base.scheme, lockout, world),
        API_KEY: api_key_method(base.store, base.scheme, lockout, world),
    }
    chosen = {name.replace("_", "-") for name in parts.settings.authentication.methods}
    methods = {name: method for name, method in known.items() if name in chosen}
    rate, own = parts.settings.limits.rate, parts.settings.limits.self_service
    return parts.pipeline(
        authenticator=Authenticator(base.scheme, methods, usage, world),
        authorizer=authorizer,
        limits=RateLimiter(
            parts.beside.buckets(rate.requests_per_second, rate.burst_size), world.now
        ),
        audit=base.audit,
        facts=partial(stored_facts, base.barrier),
        handlers=handlers,
        metrics=parts.metrics,
        world=world,
        failures=failures,
        refusals=refusals,
        self_service=RateLimiter(
            parts.beside.buckets(own.per_second, own.burst_size), world.now, SELF_SERVICE
        ),
        following=following,
    )


@asynccontextmanager
async def _exact_uses(barrier: Barrier) -> AsyncIterator[None]:
    """Behind the block nothing seals any more: the key uses that it did not need are given back."""
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            try:
                await barrier.store_use_count()
            except VaultError as error:
                log.warning("all reserved uses of the key count as used: %s", str(error))


@asynccontextmanager
async def _lent(
    parts: Parts, footing: Footing, barrier: Barrier, book: PolicyStore
) -> AsyncIterator[None]:
    """Who outlives the data path looks into it for the length of the block; then its keys go."""
    with (
        footing.marker.following(lambda: barrier.epoch),
        parts.seam.connect(book, lambda: barrier.key_state),
    ):
        try:
            yield
        finally:
            barrier.forget()


@asynccontextmanager
async def _open_audit(
    parts: Parts, keyring: Keyring, store: Store, footing: Footing
) -> AsyncIterator[tuple[AuditBroker, AuditIndex]]:
    """The audit log in its file, with its index in the database and its copy to syslog."""
    settings, world = parts.settings, parts.world
    config = AuditConfig(rotation_bytes=settings.audit.rotation_size)
    sink = FileSink(settings.audit_log, durability=settings.audit.durability)
    footing.marker.end = end = parts.beside.end(sink.layout)
    keys = audit_keys(keyring)
    async with AsyncExitStack() as stack:
        index = await stack.enter_async_context(
            open_audit_index(
                store,
                AUDIT,
                sink.layout,
                keyring.vault,
                world,
                mac=audit_keys(keyring).mac,
                end=end,
            )
        )
        followers: list[LogFollower] = [footing.keeper, index, *parts.seam.followers]
        syslog: SyslogForwarder | None = None
        if settings.audit.forward_to_syslog:
            to = SyslogConfig(hostname=socket.gethostname())
            syslog = await stack.enter_async_context(open_syslog(to, world))
            followers.append(syslog)
            dropped = syslog.statistics
            parts.metrics.count(syslog_dropped=lambda: float(dropped().dropped))
        opening = open_audit(
            config, keys, keyring.vault, [sink], world,
            followers=followers, retention=footing.retention,
            commits=lambda: footing.marker.commits, end=end, syslog=syslog,
        )  # fmt: skip
        yield await stack.enter_async_context(opening), index


def _log(parts: Parts, keyring: Keyring, footing: Footing) -> tuple[LogLayout, AuditKeys, str]:
    """What the log is checked by: its files, its keys, and what was seen of it before."""
    layout = LogLayout(parts.settings.audit_log)
    return layout, audit_keys(keyring), footing.standing.checkpoint


def _trouble(inspection: PeriodicVerification, keeper: Keeper, index: AuditIndex) -> str:
    """What is wrong with audit log, anchor and index, for people."""
    damage = f"the log is damaged: {inspection.damage}" if inspection.damage else ""
    failing = f"the anchor cannot be written: {keeper.error}" if keeper.error else ""
    lagging = f"its index does not follow: {index.error}" if index.error else ""
    return "; ".join(filter(None, (damage, failing, lagging)))


async def _furnish(root_token: str, wired: Wired) -> None:
    """Development: the chosen root token alone, and KV v2 at `secret/`."""
    await wired.tokens.replace_root(root_token)
    if wired.mounts.mounts.get(DEV_MOUNT) is None:
        await wired.mounts.create(ResourcePath.parse_folder(DEV_MOUNT), WriteMount())


def _tree(branches: list[Callable[[], Node]]) -> Node:
    children = tuple(branch() for branch in branches)
    return Node(name="agent", kind="unit", state="running", children=children)


@contextmanager
def _followed(
    metrics: Metrics, store: Store, audit: AuditBroker, tree: Callable[[], Node]
) -> Iterator[None]:
    """Gauges that read from the open data path while it is open."""
    with (
        metrics.follow(
            cache_hit_rate=lambda: store.statistics().cache.hit_rate,
            cache_bytes=lambda: store.statistics().cache.bytes,
            audit_records=lambda: audit.state().size,
            audit_sinks_failing=lambda: sum(s.failing for s in audit.state().sinks if s.durable),
            refusing=lambda: float(bool(audit.refusal_reason())),
            store_failing=lambda: float(store.failing),
        ),
        metrics.follow_sinks(lambda: {s.label: s.failing_for for s in audit.state().sinks}),
        metrics.follow_actors(tree),
    ):
        yield


def cache_config(cache: Caching) -> CacheConfig:
    """The `cache` section as the store takes it."""
    policy = Policy(cache.eviction_policy)
    return CacheConfig(max_bytes=cache.max_size, policy=policy, ttl=cache.ttl or 0)
