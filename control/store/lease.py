"""The lease of a process on its database, and the election of the leader.

Two locks of PostgreSQL on a connection of their own, both released with it: every process holds the
first, alone or together with others, and the holder of the second leads. A process that was killed
releases them at once, one whose machine is gone after what TCP takes to notice (`GONE_MS`).

The leader runs jobs that one process is enough for. It guards no data: its jobs are transactions
that check what they change, so that a process which lost its connection and does not know it yet
does no harm.
"""

import logging
from contextlib import suppress
from typing import Final, Protocol

import sqlalchemy as sa
import trio

from actors import World
from control.errors import UnavailableError
from control.store.engines import DatabaseEngines
from control.store.errors import connection_error

LOOK_EVERY: Final = 0.5
"""Seconds; how soon another process leads after one was killed."""
REGAIN: Final = 15.0
"""Seconds for which a process tries to get its own place back after the database was away."""
START: Final = 2.0
"""The same at the start, where a process of ours may just have ended."""
_SPACE: Final = 0x66726565  # "free": any constant of our own
_PLACE: Final = 1
_LEAD: Final = 2
_HOLDERS: Final = sa.text(
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = :space"
    " AND objid = :lock AND objsubid = 2"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

log: Final = logging.getLogger("freehold.control.lease")


class Lease(Protocol):
    """The lease of this process on its database."""

    shared: bool
    """Whether other processes may be there too."""

    @property
    def leads(self) -> bool:
        """Whether this process leads."""
        ...

    @property
    def peers(self) -> frozenset[int]:
        """All processes on the database, as of the last look; the numbers mean nothing."""
        ...

    async def keep(self) -> None:
        """Hold the lease until cancelled. Raises `UnavailableError` when others have taken it."""
        ...


class ExclusiveLease:
    """On SQLite, where the lock of the file keeps everybody else out."""

    shared = False
    leads = True
    peers = frozenset((0,))

    async def keep(self) -> None:
        """See `Lease`."""
        await trio.sleep_forever()


class SharedLease:
    """On PostgreSQL. `shared`: whether other processes may hold it, too."""

    def __init__(self, engines: DatabaseEngines, world: World, *, shared: bool) -> None:
        self.shared = shared
        self._engines = engines
        self._world = world
        self._thread = trio.CapacityLimiter(1)
        self._connection: sa.Connection | None = None
        self._leads = False
        self._peers: frozenset[int] = frozenset()

    @property
    def leads(self) -> bool:
        """See `Lease`."""
        return self._leads

    @property
    def peers(self) -> frozenset[int]:
        """See `Lease`."""
        return self._peers

    async def take(self) -> None:
        """Take the lease. Raises `UnavailableError` (`database_taken` when others have it)."""
        await self._within(START, wait_for_database=False)

    async def keep(self) -> None:
        """See `Lease`."""
        while True:
            await self._world.sleep(LOOK_EVERY)
            await self._within(REGAIN, wait_for_database=True)

    async def leave(self) -> None:
        """Release the locks."""
        await self._world.run_sync(self._close, limiter=self._thread)

    async def _within(self, seconds: float, *, wait_for_database: bool) -> None:
        """Try until it is taken, or others have held it for so long; the database may be slow."""
        refused_since = None
        while True:
            try:
                if await self._world.run_sync(self._look, limiter=self._thread):
                    return
                refused_since = refused_since or self._world.monotonic()
            except UnavailableError as error:
                if not wait_for_database:
                    raise
                log.warning("the place on the database is lost until it answers: %s", error)
                refused_since = None
            if refused_since and self._world.monotonic() - refused_since > seconds:
                raise _taken(shared=self.shared)
            await self._world.sleep(LOOK_EVERY)

    def _look(self) -> bool:
        """Whether the lease is held; tries for the lead too."""
        try:
            connection = self._connection or self._enter()
            if connection is None:
                return False
            self._leads = self._leads or _try(connection, _LEAD)
            held = connection.execute(_HOLDERS, {"space": _SPACE, "lock": _PLACE})
            self._peers = frozenset(held.scalars())
        except sa.exc.SQLAlchemyError as error:
            self._close()
            raise connection_error(error, self._engines.location) from error
        return True

    def _enter(self) -> sa.Connection | None:
        connection = self._engines.supports_leases.connect()
        if _try(connection, _PLACE, shared=self.shared):
            self._connection = connection
            return connection
        connection.close()
        return None

    def _close(self) -> None:
        connection, self._connection, self._leads = self._connection, None, False
        if connection is not None:
            with suppress(sa.exc.SQLAlchemyError):
                connection.invalidate()
            connection.close()


def _try(connection: sa.Connection, lock: int, *, shared: bool = False) -> bool:
    kind = sa.func.pg_try_advisory_lock_shared if shared else sa.func.pg_try_advisory_lock
    return bool(connection.execute(sa.select(kind(_SPACE, lock))).scalar_one())


def _taken(*, shared: bool) -> UnavailableError:
    why = "a process without `redis`" if shared else "another process"
    return UnavailableError(
        "database_taken",
        f"{why} serves this database: several can share it if all of them have the same `redis`",
    )
