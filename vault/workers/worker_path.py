"""A worker's way to the data path: its own store over the agent's database, and what it reports."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from actors import World
from actors.periodic import Job, run_periodic_jobs
from vault.audit.appender import Appender
from vault.audit.checkpoint import log_id_of
from vault.audit.hashing import ValueHasher
from vault.audit.layout import LogLayout
from vault.audit.sinks.file import FileSink
from vault.barrier import KEYRING_ROW, Barrier, HmacRowGuard
from vault.cluster.shared_limits import run_shared_limits
from vault.config import Settings
from vault.control_link.ports import LinkPorts
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.keyring import Keyring
from vault.crypto.random import random_bytes
from vault.data_path import (
    CacheShare,
    DataPath,
    DataPathParts,
    cache_config,
    make_shared_limits,
    run_change_hub,
    run_consumer_recorder,
    wire_data_path,
)
from vault.errors import TamperedError
from vault.metrics import Metrics
from vault.pipeline import Pipeline, PipelineParts
from vault.rotation.rotator import Rotators
from vault.seal.anchor.commit_stamp import StampTimes
from vault.seal.anchor.feed_reader import SecretFeedReader
from vault.seal.anchor.joining import join_database
from vault.seal.bound_keys import LimitKeys, PepperedScheme, bind_audit_keys, vault_digest
from vault.seal.nodes import HeartbeatFollower
from vault.store.cache_warmup import run_cache_warmup
from vault.store.interface import StoreBackend
from vault.store.row_index import RowIndex, RowIndexBuilder
from vault.store.shared_head import SharedHead
from vault.store.store import Store, open_store
from vault.store.tables import SYSTEM
from vault.workers.audit import AuditLane, RemoteAudit
from vault.workers.shared_peers import SharedPeers
from vault.workers.wire import Damage, Open

WATCH_INTERVAL: Final = 1.0  # seconds between looks at what was found of the database


@dataclass(frozen=True)
class WorkerParts:
    """What outlives an opening."""

    settings: Settings
    backend: StoreBackend
    metrics: Metrics
    peers: SharedPeers
    audit: AuditLane
    link: LinkPorts
    world: World
    report_damage: Callable[[Damage], None]
    rotators: Rotators
    number: int
    make_pipeline: Callable[[PipelineParts], Pipeline] = Pipeline


@asynccontextmanager
async def open_worker_path(
    parts: WorkerParts, order: Open, rows: RowIndexBuilder
) -> AsyncIterator[tuple[Pipeline, DataPath]]:
    """The data path for the length of the block; the rows are counted into `rows` first.

    Raises `VaultError` when it cannot be built.
    """
    world, settings, backend = parts.world, parts.settings, parts.backend
    world.clock.set_to(order.floor)
    keyring = await world.run_sync(_load_keyring, backend, order)
    guard, tail = HmacRowGuard(keyring), parts.peers.audit_tail(LogLayout(settings.audit_log))
    join = partial(
        join_database,
        backend,
        guard,
        DerivedAnchorKeys(keyring),
        lambda: StampTimes(world.now(), world.clock.value),
        order.node,
        least=tail.commits,
        rows=rows,
    )
    joined = await world.run_sync(join)
    stamper = joined.stamp_writer
    stamper.shared_tail = tail
    index = await world.run_sync(RowIndex, rows)
    rows.clear()
    async with open_store(
        backend, guard, world,
        cache=cache_config(settings, CacheShare.WORKER), stamper=stamper, index=index,
        head=parts.peers.head(),
    ) as store:  # fmt: skip
        barrier = Barrier(store, keyring, order.root_key, world)
        await barrier.load_use_counter()
        keys = bind_audit_keys(keyring, order.node)
        audit = RemoteAudit(parts.audit, ValueHasher(keys.mac), world)
        shared_limits = make_shared_limits(
            settings, LimitKeys(keyring), order.node, world, receives=False
        )
        path = await wire_data_path(
            DataPathParts(
                settings=settings,
                metrics=parts.metrics,
                world=world,
                store=store,
                barrier=barrier,
                audit=audit,
                credential_scheme=PepperedScheme(keyring.pepper),
                ceiling=order.ceiling,
                link=parts.link,
                peers=parts.peers,
                rotators=parts.rotators,
                feed=SecretFeedReader(store, DerivedAnchorKeys(keyring)),
                node=order.node,
                process=parts.number,
                shared_limits=shared_limits,
                vault=vault_digest(keyring),
                random=random_bytes,
                make_pipeline=parts.make_pipeline,
            )
        )
        appender = Appender(
            tail,
            FileSink(settings.audit_log, durability=settings.audit.durability, reserve_bytes=0),
            keys,
            log_id_of(keyring.vault, order.node),
            world,
            rotation_bytes=settings.audit.rotation_size,
        )
        watch = _DamageWatch(store, parts.peers.head(), parts.report_damage)
        watches = [Job("damage", WATCH_INTERVAL, watch, at_end=True)]
        if not backend.is_of_one_node:
            heartbeat = HeartbeatFollower(order.node, store, world)
            store.silence, store.committed_at = heartbeat.outage, heartbeat.committed_at
            watches.append(Job("heartbeat", WATCH_INTERVAL, heartbeat))
        async with (
            parts.audit.appending(appender),
            run_consumer_recorder(path.consumer_recorder),
            run_periodic_jobs([*path.jobs(), *watches], world),
            run_cache_warmup(store, world, settings.warmup_workers),
            run_shared_limits(shared_limits),
            run_change_hub(path.changes),
        ):
            with stamper.track_epoch(lambda: barrier.epoch):
                try:
                    yield path.make_pipeline(path.handlers()), path
                finally:
                    barrier.clear_data_keys()


class _DamageWatch:
    """Reports the first row that was met and is not ours: the leader seals the vault for it.

    After a write of somebody else's it forgets what it holds of the database, as the leader does.
    """

    def __init__(
        self, store: Store, head: SharedHead | None, report: Callable[[Damage], None]
    ) -> None:
        self._store = store
        self._head = head
        self._seen = 0 if head is None else head.foreign_writes
        self._report = report
        self._told = False

    async def __call__(self) -> None:
        if self._head is not None and self._head.foreign_writes != self._seen:
            self._seen = self._head.foreign_writes
            await self._store.invalidate_all()
        found = self._store.finding
        if found is not None and not self._told:
            self._report(Damage(found.code, found.message))
            self._told = True


def _load_keyring(backend: StoreBackend, order: Open) -> Keyring:
    with backend.read() as session:
        row = session.get(SYSTEM, (KEYRING_ROW,))
    if row is None:
        raise TamperedError("keyring_tampered", "the stored keyring is gone; restore a backup")
    keyring = Keyring.decode(order.root_key, row.value, org=order.org, vault=order.vault)
    if keyring.epoch < order.epoch:
        raise TamperedError("keyring_tampered", "the stored keyring is an older one")
    return keyring
