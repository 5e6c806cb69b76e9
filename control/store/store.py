"""The store: reads in threads, changes through one writer; both are functions of a transaction.

A change runs together with others and may run more than once, so it is a function of its `Tx` and
of what it captured: no clock, no randomness, no effect but on the database.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar, cast

import sqlalchemy as sa
import trio

from actors import ActorError, Child, MailboxFull, Node, Overflow, RestartPolicy, World, supervise
from actors.errors import LimiterFull
from actors.fair_limiter import FairLimiter, Share
from actors.ref import Ref
from control.errors import RateLimitError, UnavailableError
from control.store import change_shield
from control.store.engines import READERS, DatabaseEngines, open_engines
from control.store.errors import (
    INVALID_VALUE_ERRORS,
    StoreError,
    invalid_value_error,
    translate_error,
)
from control.store.lease import ExclusiveLease, Lease, SharedLease
from control.store.read_scope import current_scope
from control.store.revision import is_current
from control.store.rows import Tx
from control.store.writer import Change, StoreWriter

T = TypeVar("T")

COMMIT_TIMEOUT: Final = 30.0
MAX_READS: Final = 1024  # that wait, of all callers together
MAX_READS_OF_ORG: Final = 256
MAX_READS_OF_SESSION: Final = 128  # more than the streams of an HTTP/2 connection
RETRY_AFTER: Final = 5  # seconds
MAX_WAITING_CHANGES: Final = 16_384  # changes: one for each of 10,000 agents that report at once
_RESTARTS: Final = RestartPolicy(
    intensity=1000, window=60.0, backoff_base=0.01, backoff_cap=1.0
)  # a database that comes back after minutes is waited for; reads fail or work on meanwhile


class StoreReader:
    """Reads; made by `open_reader`."""

    def __init__(self, engines: DatabaseEngines, world: World) -> None:
        self._engines = engines
        self._world = world
        self._threads = trio.CapacityLimiter(engines.readers)
        self._readers = _fair_limiter(engines.readers)

    async def read(self, query: Callable[[Tx], T]) -> T:
        """What `query` finds in one consistent view of what is committed.

        Waits its turn among the readers (`control.store.read_scope`). Raises `StoreError`,
        `ValidationError` when it asks for what no column holds, or `RateLimitError` when too many
        reads of this caller wait.
        """
        group, member, bounded = current_scope()
        try:
            async with self._readers.slot(group, member, bounded=bounded):
                return await self._world.run_sync(self._read, query, limiter=self._threads)
        except LimiterFull as full:
            if full.own:
                raise RateLimitError(
                    "too_many_reads",
                    "too many requests of this caller wait for the database: wait and try again",
                    retry_after=RETRY_AFTER,
                ) from None
            raise StoreError(
                "store_busy", "too many reads wait for the database: try again later"
            ) from None

    def _read(self, query: Callable[[Tx], T]) -> T:
        try:
            with self._engines.reads.connect() as connection:
                return query(connection)
        except sa.exc.SQLAlchemyError as error:
            raise translate_error(error) from error
        except INVALID_VALUE_ERRORS as error:
            raise invalid_value_error() from error


class Store(StoreReader):
    """Reads and writes; made by `open_store`."""

    def __init__(
        self,
        engines: DatabaseEngines,
        writer: Ref[Change],
        world: World,
        tree: Callable[[], Node],
        lease: Lease,
    ) -> None:
        super().__init__(engines, world)
        self.lease = lease
        self._writer = writer
        self.tree = tree

    async def write(self, change: Callable[[Tx], T], *, deadline: float = COMMIT_TIMEOUT) -> T:
        """Run `change` in a transaction; its result once that is durable.

        Raises what it raises (then nothing of it is stored), `ConflictError` for what exists,
        `ValidationError` for a value that no column holds, or `UnavailableError` whose
        `details["outcome"]` is `none` or `unknown`.
        """
        change_shield.start_shielding()
        try:
            return cast("T", await self._writer.call(change, deadline))
        except MailboxFull:
            raise StoreError(
                "store_busy", "too many changes wait for the database: try again later"
            ) from None
        except ActorError:
            raise StoreError(
                "store_timeout",
                "the database did not answer in time: the change may be stored or not",
                "unknown",
            ) from None


def _fair_limiter(readers: int) -> FairLimiter:
    """An organization may use three quarters of the readers, a session half."""
    return FairLimiter(
        readers,
        group=Share(max(readers - max(readers // 4, 1), 1), MAX_READS_OF_ORG),
        member=Share(max(readers // 2, 1), MAX_READS_OF_SESSION),
        waiting=MAX_READS,
    )


@asynccontextmanager
async def open_reader(url: str, world: World) -> AsyncIterator[StoreReader]:
    """The store at `url` to read, beside a control plane that may run on it.

    Raises as `open_store`, `store_missing` and `store_outdated` too: nothing is made or migrated.
    """
    engines = await world.run_sync(partial(open_engines, url, read_only=True))
    try:
        await world.run_sync(_require_current_schema, engines)
        yield StoreReader(engines, world)
    finally:
        with trio.CancelScope(shield=True):
            await world.run_sync(engines.close)


@asynccontextmanager
async def open_store(
    url: str, world: World, *, readers: int = READERS, shared: bool = False
) -> AsyncIterator[Store]:
    """The store at `url`, its schema brought up to date, for the length of the block.

    `shared`: others may be on it too, if they say so as well; somebody has to `lease.keep`.
    Raises `ValidationError`, `UnavailableError` and `OSError` for a database that cannot be used.
    """
    engines = await world.run_sync(open_engines, url, readers)
    try:
        async with _with_lease(engines, world, shared=shared) as lease:
            await world.run_sync(_prepare, engines)
            async with _with_writer(engines, world, lease) as store:
                yield store
    finally:
        with trio.CancelScope(shield=True):
            await world.run_sync(engines.close)


@asynccontextmanager
async def _with_lease(
    engines: DatabaseEngines, world: World, *, shared: bool
) -> AsyncIterator[Lease]:
    if engines.is_exclusive:
        yield ExclusiveLease()
        return
    lease = SharedLease(engines, world, shared=shared)
    await lease.take()
    try:
        yield lease
    finally:
        with trio.CancelScope(shield=True):
            await lease.leave()


@asynccontextmanager
async def _with_writer(
    engines: DatabaseEngines, world: World, lease: Lease
) -> AsyncIterator[Store]:
    child = Child(
        "writer",
        lambda: StoreWriter(engines, world),
        mailbox=MAX_WAITING_CHANGES,
        overflow=Overflow.REFUSE,
    )
    async with supervise("store", [child], world=world, policy=_RESTARTS) as tree:
        yield Store(engines, tree.ref("writer"), world, tree.snapshot, lease)


def _require_current_schema(engines: DatabaseEngines) -> None:
    try:
        with engines.reads.connect() as connection:
            if not is_current(connection):
                raise UnavailableError(
                    "store_outdated",
                    "the database has another version: start this version of the control plane "
                    "once",
                )
    except sa.exc.SQLAlchemyError as error:
        raise translate_error(error) from error


def _prepare(engines: DatabaseEngines) -> None:
    try:
        with engines.writes.connect() as connection:
            with connection.begin():
                engines.verify_durability(connection)
            if not is_current(connection):
                from control.store.migrate import migrate  # slow to load, and rarely needed

                migrate(connection)
    except sa.exc.SQLAlchemyError as error:
        raise translate_error(error) from error
