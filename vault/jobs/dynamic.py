"""Ends leases of dynamic credentials that are over, drops their users, and sweeps the servers.

One agent of a database does that at a time. What it does is ordinary audited operations, and all
that a step needs to know is in the database: another agent goes on where this one ends.
"""

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import trio
from msgspec.structs import replace

from actors import World
from vault import operations
from vault.cluster.leases import FencedError, Lease
from vault.errors import VaultError
from vault.model.dynamic import UNRENEWED_ALERT, LeaseCounts, LeaseState
from vault.model.operation import RunOperation, service_operation
from vault.model.payloads import Nothing, StepLease
from vault.model.records import ConnectionRow, DynamicLeaseRow, LeaseClientRow
from vault.model.rotation_report import LeaseStates

log: Final = logging.getLogger("freehold.dynamic")

SERVICE: Final = "dynamic"
INTERVAL: Final = 1.0  # seconds between two looks at what is due
COUNT_INTERVAL: Final = 30.0  # seconds between two counts
SWEEP_INTERVAL: Final = 3600.0  # seconds between two sweeps of one server
BATCH: Final = 256  # leases that wait for their step, of one connection, and rows of a query
MAX_COUNTED: Final = 10_000  # leases and clients that one count looks at
MAX_ACTIVE: Final = 32  # leases that take steps at a time
PER_CONNECTION: Final = 4
"""Of them, those of one connection: a server that hangs delays no other one."""
STEP_SECONDS: Final = 10.0
"""That a step may take at its server; less while a lease of ours is shorter."""
LEAST_SECONDS: Final = 2.0  # a step is not begun with less


class DueLeases(Protocol):
    """Documented at `vault.handlers.stores.LeaseStore`."""

    def list_due(
        self, now: int, limit: int, connection: str = ""
    ) -> Awaitable[list[DynamicLeaseRow]]:
        """Those whose next step is due: of all connections, or of one."""
        ...

    def list_leases(
        self, prefix: str, state: str, after: str, limit: int
    ) -> Awaitable[list[DynamicLeaseRow]]:
        """Leases in a state, beyond the id `after`."""
        ...

    def list_clients(self, after: str | None, limit: int) -> Awaitable[list[LeaseClientRow]]:
        """Clients beyond this one; the first is all together."""
        ...

    def count_leases(self) -> Awaitable[int]:
        """How many may have a user at a server."""
        ...

    def list_connections(self) -> Awaitable[list[ConnectionRow]]:
        """The connections of all mounts."""
        ...


@dataclass(frozen=True)
class DynamicParts:
    """What the work is done with. `lease`: what this agent has of it; None: it is the only one."""

    leases: DueLeases
    run: RunOperation
    world: World
    lease: Callable[[], Lease | None] | None
    on_irrevocable: Callable[[], object]


async def count_lease_states(leases: DueLeases) -> LeaseStates:
    """How many leases are in which state, for the control plane. Raises as the store does."""
    revoking = await _count_state(leases, LeaseState.REVOKING, lambda _: True)
    irrevocable = await _count_state(leases, LeaseState.IRREVOCABLE, lambda _: True)
    active = max(await leases.count_leases() - revoking - irrevocable, 0)
    return LeaseStates(active, revoking, irrevocable, await _count_unrenewed(leases))


async def _count_unrenewed(leases: DueLeases) -> int:
    """Clients that ask for new credentials instead of renewing; those without a lease are over."""
    total, after, seen = 0, None, 0
    while seen < MAX_COUNTED:
        page = await leases.list_clients(after, BATCH)
        some = (row for row in page if row.client and row.leases)
        total += sum(row.unrenewed >= UNRENEWED_ALERT for row in some)
        if len(page) < BATCH:
            break
        after, seen = page[-1].client, seen + len(page)
    return total


async def _count_state(
    leases: DueLeases, state: LeaseState, counts: Callable[[DynamicLeaseRow], bool]
) -> int:
    total, after, seen = 0, "", 0
    while seen < MAX_COUNTED:
        page = await leases.list_leases("", state, after, BATCH)
        total += sum(map(counts, page))
        if len(page) < BATCH:
            break
        after, seen = page[-1].id, seen + len(page)
    return total


class LeaseExpiry:
    """Made by `open_lease_expiry`. `run_turn` is a job, under the background lease `dynamic`."""

    def __init__(self, parts: DynamicParts, nursery: trio.Nursery) -> None:
        self._parts = parts
        self._nursery = nursery
        self._active: dict[str, str] = {}  # the connection of each lease that takes a step
        self._waiting: dict[str, deque[DynamicLeaseRow]] = {}  # by connection, those that are next
        self._swept: dict[str, float] = {}  # when each server was looked at, of `World.uptime`
        self._sweeping: set[str] = set()
        self._orphans: dict[str, int] = {}
        self.counts = LeaseCounts()

    async def run_turn(self) -> None:
        """Have the steps taken that are due; waits for none of them. Raises as the store does."""
        leases, world = self._parts.leases, self._parts.world
        connections = await leases.list_connections()
        due = await leases.list_due(world.clock.now(), BATCH)
        if len(due) == BATCH:  # one connection may fill all of it, so each is asked for its own
            due = []
            for connection in connections:
                due += await leases.list_due(world.clock.now(), BATCH, connection.path)
        for row in due:
            self._offer(row)
        if self._sweeping:
            return
        for connection in connections:
            swept = self._swept.setdefault(connection.path, world.uptime())
            if world.uptime() - swept >= SWEEP_INTERVAL:
                self._sweeping.add(connection.path)
                self._nursery.start_soon(self._sweep, connection.path)
                return  # one at a time

    async def count(self) -> None:
        """Count for the metrics and the control plane, at each agent. Raises as the store does."""
        leases = self._parts.leases
        self.counts = LeaseCounts(
            leases=await leases.count_leases(),
            failing=await _count_state(leases, LeaseState.REVOKING, lambda row: row.attempt > 0),
            irrevocable=await _count_state(leases, LeaseState.IRREVOCABLE, lambda _: True),
            unrenewed=await _count_unrenewed(leases),
            orphans=sum(self._orphans.values()),
        )

    def _offer(self, row: DynamicLeaseRow) -> None:
        """Have it take its step now, or behind those of its connection that do."""
        waiting = self._waiting.get(row.connection, ())
        if row.id in self._active or any(row.id == other.id for other in waiting):
            return
        is_crowded = [*self._active.values()].count(row.connection) >= PER_CONNECTION
        if not is_crowded and len(self._active) < MAX_ACTIVE:
            self._active[row.id] = row.connection
            self._nursery.start_soon(self._go_on, row)
        elif len(waiting) < BATCH:
            self._waiting.setdefault(row.connection, deque()).append(row)

    async def _go_on(self, row: DynamicLeaseRow) -> None:
        """Take the steps of a lease, and then of those of its connection that wait."""
        following: DynamicLeaseRow | None = row
        while following is not None:
            await self._take_steps(following)
            following = self._take_next(row.connection)

    def _take_next(self, connection: str) -> DynamicLeaseRow | None:
        waiting = self._waiting.get(connection)
        if waiting and self._seconds() < LEAST_SECONDS:
            waiting.clear()  # whoever has the lease next looks anew
        if not waiting:
            self._waiting.pop(connection, None)
            return None
        row = waiting.popleft()
        self._active[row.id] = connection
        return row

    async def _take_steps(self, row: DynamicLeaseRow) -> None:
        """Take steps until one has to wait, as long as there is time for the next."""
        key = row.id
        try:
            while 0 < row.next_at <= self._parts.world.clock.now():
                seconds = self._seconds()
                if seconds < LEAST_SECONDS:
                    return
                await trio.lowlevel.checkpoint_if_cancelled()  # a step itself is not cut in two
                row = await self._step(row, seconds)
        except VaultError as error:
            log.warning("a step of a lease was not taken: %s", error.code)
        finally:
            del self._active[key]

    async def _step(self, row: DynamicLeaseRow, seconds: float) -> DynamicLeaseRow:
        operation = service_operation(
            operations.STEP_LEASE,
            row.id,
            StepLease(lease=row.id, timeout=seconds),
            service=SERVICE,
            request_id=self._parts.world.new_id(),
        )
        taken = await self._parts.run(operation)
        if taken.error_code:
            log.warning("the user of a lease was not dropped: %s", taken.error_code)
        if taken.state == LeaseState.IRREVOCABLE and row.state != LeaseState.IRREVOCABLE:
            self._parts.on_irrevocable()
        return taken

    async def _sweep(self, path: str) -> None:
        operation = service_operation(
            operations.SWEEP_USERS,
            path,
            Nothing(),
            service=SERVICE,
            request_id=self._parts.world.new_id(),
        )
        try:
            found = await self._parts.run(operation)
        except FencedError:
            return
        except VaultError as error:
            log.warning("the users at a server were not looked through: %s", error.code)
        else:
            self._orphans[path] = len(found.unknown)
            self.counts = replace(self.counts, orphans=sum(self._orphans.values()))
            if found.unknown:
                log.warning(
                    "%d users at a server have names of this vault's and no lease: see "
                    "'freehold credentials orphans'",
                    len(found.unknown),
                )
        finally:
            self._swept[path] = self._parts.world.uptime()
            self._sweeping.discard(path)

    def _seconds(self) -> float:
        """That a step may take."""
        if self._parts.lease is None:
            return STEP_SECONDS
        lease = self._parts.lease()
        return 0.0 if lease is None else min(lease.seconds_left, STEP_SECONDS)


@asynccontextmanager
async def open_lease_expiry(parts: DynamicParts) -> AsyncIterator[LeaseExpiry]:
    """The work. Behind the block no step is under way: one that is, ends or is cancelled."""
    async with trio.open_nursery() as nursery:
        yield LeaseExpiry(parts, nursery)
        nursery.cancel_scope.cancel()
