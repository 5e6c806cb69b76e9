"""The nodes on one database: which one this machine is, its row, its heartbeat.

A node is one machine's agent, with all its processes: they write one audit log and one anchor. Its
id is in both, and in its row of the table `nodes`. Each start of the node has another random `run`,
so of two machines with one id (a copied data folder, a cloned virtual machine) the one that started
first is noticed and sealed.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio
from msgspec.structs import replace

from actors import World
from protocols.instant import SECOND
from vault.audit.checkpoint import origin_node
from vault.audit.head_file import read_unverified_origin
from vault.audit.layout import LogLayout
from vault.errors import ConflictError, NotFoundError, TamperedError, UnavailableError
from vault.model.records import NodeRow
from vault.model.results import KnownNode
from vault.seal.anchor.anchor_file import AnchorFile
from vault.seal.anchor.commit_stamp import COMMIT_STAMP_ROW
from vault.seal.anchor.keys import AnchorKeys
from vault.seal.anchor.state import CommitStamp, decode_state
from vault.store.integrity_monitor import DamageReaction, seal_if_damaged
from vault.store.interface import StoreBackend, StoreSession
from vault.store.node_levels import is_live
from vault.store.row_guard import RowGuard, check_row
from vault.store.store import Store
from vault.store.table import StoreQuery
from vault.store.tables import NODES, RECORDERS, SCHEMA_LEVEL, SYSTEM
from vault.store.transaction import StoreTx

HEARTBEAT_INTERVAL: Final = 3.0  # seconds between the commits of a node's row
RETRY_INTERVAL: Final = 1.0  # seconds until a heartbeat that was not stored is tried again
SILENCE_SECONDS: Final = 10.0
"""A node that has not committed for so long answers nothing: it may look at a database that was
cut off from the others, which says for ever what was so then."""
MAX_CLOCK_OFFSET: Final = 2.0
"""Seconds by which the clocks of machine and database may differ. With more the node is not ready:
tokens would end here earlier or later than at the other nodes."""
LEAVE_SECONDS: Final = 2.0  # for the last heartbeat of an orderly stop
_ID_DIGITS: Final = 16

log: Final = logging.getLogger("freehold.nodes")


@dataclass(frozen=True)
class NodeIdentity:
    """A node as it is in this run. `name` is the machine's, `place` its audit log's path there."""

    id: str
    name: str
    place: str
    run: str

    def join(self, tx: StoreTx, version: str, now: int) -> None:
        """Add or take over the node's row. A run before this one finds that out by its `run`."""
        row = tx.get(NODES, self.id) or NodeRow(id=self.id)
        tx.put(
            NODES,
            replace(
                row,
                name=self.name,
                place=self.place,
                version=version,
                level=SCHEMA_LEVEL,
                run=self.run,
                started=now,
                heartbeat=now,
            ),
        )

    def beat(self, tx: StoreTx, now: int) -> None:
        """Say in the row that the node runs; with `now` 0 that it has stopped.

        Raises `TamperedError` (`node_duplicated`) when another run has taken over the row, and
        `ConflictError` when it was forgotten (`node_forgotten`), or when newer nodes have gone on
        without this one (`node_outdated`).
        """
        row = tx.get(NODES, self.id)
        if row is None:
            raise ConflictError(
                "node_forgotten",
                "this node was forgotten while it did not answer: start its agent again",
            )
        if row.run != self.run:
            raise TamperedError(
                "node_duplicated",
                f"another agent has started as node {self.id}: the data folder or the machine was "
                "copied. Stop one of them, and let it begin with an empty data folder",
            )
        away = now - row.heartbeat > SILENCE_SECONDS * SECOND
        if away and any(other.level > SCHEMA_LEVEL for other in tx.select(NODES, StoreQuery())):
            raise ConflictError(
                "node_outdated",
                "nodes of a newer version have gone on without this one, which cannot read what "
                "they write: upgrade this machine, too",
            )
        tx.put(NODES, replace(row, heartbeat=now))


def find_node_id(anchor: AnchorFile, log_files: LogLayout, keys: AnchorKeys) -> str:
    """The id in the anchor, or else in the audit log; empty where neither is there. Blocks.

    What the log says is not verified; `recover_log` verifies it with the keys of that node.
    """
    with suppress(OSError, ValueError):
        if (found := anchor.read(keys)) is not None and found.node:
            return found.node
    with suppress(OSError, ValueError):
        return origin_node(read_unverified_origin(log_files.head_file))
    return ""


def read_only_node(backend: StoreBackend, keys: AnchorKeys) -> str:
    """The node of a database that belongs to one, by its commit stamp; empty before it. Blocks."""
    with backend.read() as session:
        row = session.get(SYSTEM, (COMMIT_STAMP_ROW,))
    with suppress(ValueError):
        if row is not None:
            return decode_state(row.value, CommitStamp, keys).node
    return ""


def find_lost_nodes(
    session: StoreSession, guard: RowGuard, node: NodeIdentity, now: int
) -> Iterator[str]:
    """The nodes that had their logs where `node`, a new one, has none.

    A node that runs is another machine of that name. Raises `TamperedError`.
    """
    after = None
    while page := session.select(NODES, StoreQuery(after=after)):
        for row in page:
            check_row(guard, NODES, row)
            if (row.name, row.place) == (node.name, node.place) and not is_live(row, now):
                yield row.id
        after = NODES.key_of(page[-1])


def make_node_id(world: World) -> str:
    """A random id: 16 hexadecimal digits, so that a signed head still fits into a disk sector."""
    return world.new_id().replace("-", "")[-_ID_DIGITS:]


class NodeHeartbeat:
    """Commits the node's row again and again. Run by `run_heartbeat`, on a database server."""

    def __init__(
        self, node: NodeIdentity, store: Store, reaction: DamageReaction, world: World
    ) -> None:
        """The node has just joined."""
        self._node = node
        self._store = store
        self._reaction = reaction
        self._world = world
        self._committed = world.uptime()
        self.clock_offset = 0.0
        """Seconds by which the database's clock was ahead of ours at the last heartbeat."""
        self._is_failing = False

    def committed_at(self) -> float:
        """When (`World.uptime`) the last commit of this node began that was stored."""
        return self._committed

    def outage(self) -> str:
        """Why this node has to answer nothing; empty while it may. In any thread."""
        return _explain_silence(self._world.uptime() - self._committed)

    def clock_fault(self) -> str:
        """What is wrong with the clocks; empty while they agree."""
        if abs(self.clock_offset) <= MAX_CLOCK_OFFSET:
            return ""
        return (
            f"the clocks of this machine and of the database differ by {abs(self.clock_offset):.0f}"
            " seconds: keep both together with NTP"
        )

    async def run(self) -> None:
        """Until cancelled, or until the vault is sealed for what is found."""
        while not await self.beat():
            await self._world.sleep(RETRY_INTERVAL if self._is_failing else HEARTBEAT_INTERVAL)

    async def beat(self) -> bool:
        """One heartbeat. Whether the vault is sealed for it."""
        began = self._world.uptime()
        try:
            self.clock_offset = await self._store.commit(
                self._beat_and_compare, deadline=SILENCE_SECONDS
            )
        except (TamperedError, UnavailableError) as error:
            if await seal_if_damaged(error, self._reaction):
                return True
            if not self._is_failing:
                log.warning("the heartbeat of this node is not stored: %s", error)
            self._is_failing = True
        except ConflictError as error:
            log.error("the vault is sealed: %s", error)  # noqa: TRY400  # one line tells all
            self._reaction.seal()
            return True
        else:
            self._committed, self._is_failing = began, False
        return False

    def _beat_and_compare(self, tx: StoreTx) -> float:
        self._node.beat(tx, self._world.now())
        there = tx.database_time()
        return 0.0 if there is None else (there - self._world.wall()) / SECOND

    async def leave(self) -> None:
        """The node stops: it counts as running no more. What fails is noticed by its silence."""
        with trio.move_on_after(LEAVE_SECONDS, shield=True):
            with suppress(TamperedError, UnavailableError, ConflictError):
                await self._store.commit(partial(self._node.beat, now=0), deadline=LEAVE_SECONDS)


class HeartbeatFollower:
    """What a further process of the node knows of its heartbeat. To be called each second."""

    def __init__(self, node: str, store: Store, world: World) -> None:
        self._node = node
        self._store = store
        self._world = world
        self._seen = 0  # the heartbeat that the database has shown last
        self._changed_at = world.uptime()  # when that was looked for, and was another one

    async def __call__(self) -> None:
        """Look at the node's row. Raises `TamperedError`."""
        began = self._world.uptime()
        with suppress(UnavailableError):  # whoever asks the database is told
            await self._store.look()
            row = await self._store.get(NODES, self._node)
            if row is not None and row.heartbeat != self._seen:
                self._seen, self._changed_at = row.heartbeat, began

    def committed_at(self) -> float:
        """As `NodeHeartbeat.committed_at`, as far as it is known here."""
        return self._changed_at

    def outage(self) -> str:
        """As `NodeHeartbeat.outage`."""
        return _explain_silence(self._world.uptime() - self._changed_at)


def _explain_silence(seconds: float) -> str:
    if seconds <= SILENCE_SECONDS:
        return ""
    return f"the database has taken no commit of this machine for {seconds:.0f} seconds"


class KnownNodes:
    """The nodes as the database has them."""

    def __init__(self, node: str, store: Store, world: World) -> None:
        """`node`: the id of the one that answers."""
        self._node = node
        self._store = store
        self._world = world

    async def list(self) -> list[KnownNode]:
        """All of them by id."""
        now = self._world.now()
        return [
            KnownNode(row=row, is_running=self._runs(row, now), answers=row.id == self._node)
            for row in await self._store.select_all(NODES)
        ]

    async def forget(self, node: str) -> NodeRow:
        """Remove the row of a node that does not run, and return it.

        Raises `NotFoundError` (`node_not_found`) and `ConflictError` (`node_running`).
        """
        # What replaces a node's stamp writes its row: that must be over before the row is removed.
        await self._store.commit(lambda _: None)
        return await self._store.commit(lambda tx: self._forget(tx, node))

    def _forget(self, tx: StoreTx, node: str) -> NodeRow:
        row = tx.get(NODES, node)
        if row is None:
            raise NotFoundError("node_not_found", f"there is no node {node}")
        now = self._world.now()
        if self._runs(row, now):
            raise ConflictError(
                "node_running",
                f"node {node} ({row.name}) runs, or did a moment ago: stop its agent first",
            )
        tx.delete(NODES, node)
        for recorder in tx.select(RECORDERS, StoreQuery()):
            if recorder.is_open and recorder.id.startswith(f"{node}/"):  # it was not stopped
                tx.put(RECORDERS, replace(recorder, is_open=False, lost_at=now))
        return row

    def _runs(self, row: NodeRow, now: int) -> bool:
        """On a database of its own a node has no heartbeat."""
        return row.id == self._node or is_live(row, now)


@asynccontextmanager
async def run_heartbeat(
    node: NodeIdentity, store: Store, reaction: DamageReaction, world: World, *, is_alone: bool
) -> AsyncIterator[NodeHeartbeat | None]:
    """Keep the node's row fresh for the length of the block, or else have the store be silent.

    `is_alone`: the database belongs to this node, and nobody asks.
    """
    if is_alone:
        yield None
        return
    heartbeat = NodeHeartbeat(node, store, reaction, world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(heartbeat.run)
        store.silence, store.committed_at = heartbeat.outage, heartbeat.committed_at
        try:
            yield heartbeat
        finally:
            store.silence = str
            nursery.cancel_scope.cancel()
            await heartbeat.leave()
