"""A worker's data path: what reads and the decisions on writes need, over a store that only reads.

    store ─ barrier ─ authn, authz ─ handlers ─ pipeline

It is made of the parts that the leader's is made of; those that would write are the leader's.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from actors import World
from actors.periodic import Job, run_periodic_jobs
from actors.world import uptime_ns
from vault.audit.appender import Appender
from vault.audit.checkpoint import log_id_of
from vault.audit.hashing import ValueHasher
from vault.audit.shared_tail import SharedTail
from vault.audit.sinks.file import FileSink
from vault.authn.api_keys import ApiKeys
from vault.authn.authenticator import Authenticator, CredentialMethod
from vault.authn.bearer import BearerMethod, api_key_method
from vault.authn.credential_scheme import API_KEY, TOKEN
from vault.authn.credential_usage import CredentialUsage
from vault.authn.credential_validity import token_identity
from vault.authn.revocation import Revoker
from vault.authn.sessions import is_session
from vault.authn.stream_registry import StreamRegistry
from vault.authn.tokens import Tokens
from vault.authz.authorizer import Authorizer
from vault.authz.policy_store import PolicyStore
from vault.authz.rate_limits import SELF_SERVICE, RateLimiter
from vault.authz.record_limits import RecordLimits
from vault.barrier import KEYRING_ROW, Barrier, HmacRowGuard
from vault.config import Settings
from vault.core import cache_config
from vault.crypto.keyring import Keyring
from vault.errors import TamperedError
from vault.handlers.access_counters import AccessCounters
from vault.handlers.handler import Handlers
from vault.handlers.listing import ListingHandlers
from vault.handlers.metadata import MetadataHandlers
from vault.handlers.mounts import MountHandlers
from vault.handlers.secrets import SecretHandlers, changed_meanwhile
from vault.handlers.stores import AccessStore, MountStore, SecretStore
from vault.handlers.tokens import TokenHandlers
from vault.jobs.refused_report import AUTHORIZATIONS_REFUSED, REPORT_INTERVAL, RefusedReport
from vault.metrics import Metrics
from vault.model.identity import Identity
from vault.model.mounts import MountTable
from vault.model.operation import Origin
from vault.model.records import TokenRow
from vault.mutations import WRITE
from vault.pipeline import Pipeline, PipelineParts, SnapshotRefresher
from vault.seal.bound_keys import PepperedScheme, bind_audit_keys
from vault.store.cache_warmup import run_cache_warmup
from vault.store.interface import StoreBackend
from vault.store.row_index import InDoubtError, RowIndexReader
from vault.store.store import Store, open_store
from vault.store.tables import MOUNTS, POLICIES, SYSTEM, TOKENS
from vault.workers.audit import AuditLane, RemoteAudit
from vault.workers.buckets import SharedBuckets
from vault.workers.caches import WORKER, WorkerCache, share
from vault.workers.elsewhere import Elsewhere
from vault.workers.follower import Follower, Reload, Rows
from vault.workers.known import Known
from vault.workers.lockout import WorkerLockout
from vault.workers.page import Page, SharedRows
from vault.workers.wire import Open
from vault.workers.writes import RemoteWrites, WriteLane

METADATA: Final = "secret.metadata.read"
READ_CLOCK_EVERY: Final = 1.0
"""Seconds: an idle worker would else believe a wrong reading for as long as it was idle."""
LOCAL: Final = frozenset(
    {"secret.read", "secret.list", "secret.keys", "token.lookup_self", METADATA, WRITE}
)
"""Operations that a worker runs; of a write, all but the transaction."""


@dataclass(frozen=True)
class WorkerParts:
    """What outlives an opening."""

    settings: Settings
    backend: StoreBackend
    metrics: Metrics
    page: Page
    audit: AuditLane
    writes: WriteLane
    world: World
    pipeline: Callable[[PipelineParts], Pipeline] = Pipeline


@dataclass(frozen=True)
class Reading:
    """An open data path for reads."""

    pipeline: Pipeline
    mounts: MountTable
    follower: Follower
    access: AccessCounters
    usage: CredentialUsage
    report_refusals: RefusedReport


@asynccontextmanager
async def open_reading(parts: WorkerParts, order: Open) -> AsyncIterator[Reading]:
    """For the length of the block. Raises `VaultError` when it cannot be built."""
    world, page, settings = parts.world, parts.page, parts.settings
    world.clock.set_to(order.floor)
    cache = _cache(settings, world)
    lockout = WorkerLockout(page)
    follower = Follower(page, order.opening, cache, lockout)  # before anything is loaded

    def keyring_of_now() -> Keyring:
        return _load_keyring(parts.backend, order)

    keyring = await world.run_sync(keyring_of_now)
    async with open_store(
        parts.backend,
        HmacRowGuard(keyring),
        world,
        cache=cache,
        index=RowIndexReader(SharedRows(page)),
        in_doubt_error=Elsewhere,
        writes=False,
    ) as store:
        barrier = Barrier(store, keyring, order.root_key, world)
        book = PolicyStore(store, world, order.ceiling)
        authorizer = Authorizer(book)
        mounts = MountHandlers(MountStore(barrier), MountTable(), authorizer, world)
        access, usage = AccessCounters(AccessStore(barrier), world), CredentialUsage(store, world)

        async def renew_keyring(_rows: Rows) -> None:
            barrier.replace_keyring(await world.run_sync(keyring_of_now))

        async def renew_mounts(_rows: Rows) -> None:
            await mounts.reload()

        async def renew_policies(rows: Rows) -> None:
            await book.reload_changed(None if rows is None else [str(name) for (name,) in rows])

        renewals = {
            POLICIES.name: renew_policies,
            MOUNTS.name: renew_mounts,
            SYSTEM.name: renew_keyring,
        }
        await follower.begin({name: _here(renew) for name, renew in renewals.items()})
        known, secrets = Known(barrier), SecretStore(barrier)
        hasher = ValueHasher(bind_audit_keys(keyring, order.node).mac)
        audit = RemoteAudit(parts.audit, hasher, world)
        refusals = _refusals(parts)
        pipeline = parts.pipeline(
            PipelineParts(
                authenticator=_authenticator(parts, store, keyring, lockout, usage),
                authorizer=authorizer,
                limits=_limits(parts),
                audit=audit,
                load_facts=known.facts,
                handlers=_local(
                    SecretHandlers(secrets, mounts.mounts, access, world).handlers()
                    | MetadataHandlers(secrets, mounts.mounts, access, world).handlers()
                    | ListingHandlers(secrets, authorizer, world).handlers()
                    | _token_handlers(store, keyring, usage, authorizer, world),
                    RemoteWrites(parts.writes, known),
                ),
                metrics=parts.metrics,
                world=world,
                refusals=refusals,
                self_service=_self_service(parts),
                snapshots=CaughtUp(follower),
            )
        )
        report = RefusedReport(AUTHORIZATIONS_REFUSED, refusals, audit.record, world)
        jobs = [
            Job("refused-requests", REPORT_INTERVAL, report, at_end=True),
            Job("clock", READ_CLOCK_EVERY, partial(_read_clock, world)),
        ]
        appending = parts.audit.appending(_appender(parts, keyring, order.node))
        async with (
            appending,
            run_periodic_jobs(jobs, world),
            run_cache_warmup(store, world, settings.warmup_workers),
        ):
            try:
                yield Reading(pipeline, mounts.mounts, follower, access, usage, report)
            finally:
                barrier.clear_data_keys()


def _here(renew: Reload) -> Reload:
    """The same; a row that is being changed is a failure, since there is no request to relay."""

    async def renewed(rows: Rows) -> None:
        try:
            await renew(rows)
        except Elsewhere:
            raise InDoubtError from None

    return renewed


async def _read_clock(world: World) -> None:
    world.now()


def _cache(settings: Settings, world: World) -> WorkerCache:
    part = share(cache_config(settings.cache), settings.server.workers, WORKER)
    return WorkerCache(part, partial(uptime_ns, world))


def _appender(parts: WorkerParts, keyring: Keyring, node: str) -> Appender:
    settings = parts.settings
    sink = FileSink(settings.audit_log, durability=settings.audit.durability, reserve_bytes=0)
    return Appender(
        SharedTail(parts.page.end, sink.layout.head_file),
        sink,
        bind_audit_keys(keyring, node),
        log_id_of(keyring.vault, node),
        parts.world,
        rotation_bytes=settings.audit.rotation_size,
    )


def _limits(parts: WorkerParts) -> RateLimiter:
    rate = parts.settings.limits.rate
    buckets = SharedBuckets(parts.page, rate.requests_per_second, rate.burst_size)
    return RateLimiter(buckets, parts.world.now)


def _self_service(parts: WorkerParts) -> RateLimiter:
    own = parts.settings.limits.self_service
    buckets = SharedBuckets(parts.page, own.per_second, own.burst_size)
    return RateLimiter(buckets, parts.world.now, SELF_SERVICE)


def _refusals(parts: WorkerParts) -> RecordLimits:
    """This worker's part of them."""
    denied, workers = parts.settings.limits.refusals, parts.settings.server.workers
    burst = max(1, denied.burst_size // workers)
    return RecordLimits(denied.per_second / workers, burst, denied.share, parts.world.now)


class CaughtUp(SnapshotRefresher):
    """A worker's: its door has made all current for what begins."""

    def __init__(self, follower: Follower) -> None:
        super().__init__((), int)
        self._follower = follower

    @property
    def is_current(self) -> bool:
        """It is."""
        return True

    async def refresh_stale(self) -> None:
        """For what is decided again. Raises `ConflictError` where the leader alone can decide."""
        if not await self._follower.is_current():
            raise changed_meanwhile()


def _token_handlers(
    store: Store, keyring: Keyring, usage: CredentialUsage, authorizer: Authorizer, world: World
) -> Handlers:
    """To look up; no credential is made or revoked here."""
    scheme, revoker = PepperedScheme(keyring.pepper), Revoker(store, StreamRegistry())
    keys = ApiKeys(store, scheme, revoker, usage, world)
    return TokenHandlers(Tokens(store, scheme, revoker, world), keys, authorizer, world).handlers()


def _local(handlers: Handlers, writes: RemoteWrites) -> Handlers:
    local = {name: handler for name, handler in handlers.items() if name in LOCAL}
    return local | {WRITE: replace(local[WRITE], run=writes)}


def _authenticator(
    parts: WorkerParts,
    store: Store,
    keyring: Keyring,
    lockout: WorkerLockout,
    usage: CredentialUsage,
) -> Authenticator:
    scheme, world = PepperedScheme(keyring.pepper), parts.world
    tokens: BearerMethod[TokenRow] = BearerMethod(
        store,
        scheme,
        lockout,
        world,
        table=TOKENS,
        stored_hash=lambda row: row.secret_hash,
        rule=token_identity,
        is_session=is_session,
        consume_use=_unlimited,
    )
    known: dict[str, CredentialMethod] = {
        TOKEN: tokens,
        API_KEY: api_key_method(store, scheme, lockout, world),
    }
    chosen = {name.replace("_", "-") for name in parts.settings.authentication.methods}
    methods = {name: method for name, method in known.items() if name in chosen}
    return Proving(scheme, methods, usage, world)


async def _unlimited(row: TokenRow) -> bool:
    """A use of a limited token is a write, which the leader does."""
    if row.num_uses:
        raise Elsewhere
    return True


class Proving(Authenticator):
    """Refuses no credential: the leader does, who counts wrong ones for all processes."""

    async def authenticate(self, credential: str | None, origin: Origin) -> Identity:
        """Return who is asking; raise `Elsewhere` unless it is proven here."""
        identity = await self.find_identity(credential, origin)
        if identity is None:
            raise Elsewhere
        return identity


def _load_keyring(backend: StoreBackend, order: Open) -> Keyring:
    with backend.read() as session:
        row = session.get(SYSTEM, (KEYRING_ROW,))
    if row is None:
        raise TamperedError("keyring_tampered", "the stored keyring is gone; restore a backup")
    keyring = Keyring.decode(order.root_key, row.value, org=order.org, vault=order.vault)
    if keyring.epoch < order.epoch:
        raise TamperedError("keyring_tampered", "the stored keyring is an older one")
    return keyring
