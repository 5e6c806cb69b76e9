"""Leases: background work that is done once for all agents of a database has one holder at a time.

A lease is a row with its holder, an epoch and an end. A free or expired one is taken in a
transaction, which adds one to the epoch; the holder renews it. Two things keep a former holder from
doing anything:

- It counts down by its own monotonic clock, from before it asked: `Lease.is_held`. After that it
  begins nothing. A holder that was paused in between may be wrong about that.
- Each transaction of its work checks holder and epoch in the row: `Lease.fence`. Transactions of
  all agents are in one order, so none of a former holder can follow the first of the next. The
  epoch is a fencing token (Kleppmann: How to do distributed locking, 2016).

Safety needs no clock. A clock that jumps ahead ends leases early. After one that was set back, the
end of a lease may be far away: an agent also takes a lease whose row has not changed for as long as
a lease lasts, by its own monotonic clock (as Kubernetes' leader election does).
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, TypeAlias

import trio
from msgspec.structs import replace

from actors import World
from actors.periodic import Job
from protocols.instant import SECOND
from vault.errors import ConflictError, VaultError
from vault.model.records import LeaseRow
from vault.store.fencing import fence_transactions
from vault.store.store import Store
from vault.store.tables import LEASES
from vault.store.transaction import StoreTx

DURATION: Final = 8.0
"""Seconds that a lease lasts. With `LOOK`, and a job that then has its turn within a second, others
go on within 10 s of a holder that was killed."""
RENEWAL: Final = 2.0
"""Seconds between two renewals. Two may fail before the lease ends."""
LOOK: Final = 1.0
"""Seconds between two looks at leases that others have."""
RELEASE_SECONDS: Final = 2.0
"""For the release at a stop. A lease that is not released expires."""

ROTATION: Final = "rotation"
"""Rotation of secrets."""
DYNAMIC: Final = "dynamic"
"""Expiry of the leases of dynamic credentials."""
EXPIRY: Final = "expiry"
"""Removal of expired credentials."""
KEYS: Final = "keys"
"""Rotation of the key-encryption key, and rewrapping after it."""
BACKUP: Final = "backup"
"""A backup of the vault, or the removal of one: taken for each, by whoever makes it."""
BACKUP_SCHEDULE: Final = "backup-schedule"
"""Who makes the scheduled backups."""
RESTORE_TESTS: Final = "restore-tests"
"""Who restores backups to prove that they can be."""
REPORT: Final = "report"
"""Alerts of secrets that expire, which are the same at each agent."""

log: Final = logging.getLogger("freehold.cluster")

Run: TypeAlias = Callable[[], Awaitable[object]]


class FencedError(ConflictError):
    """The work has lost its lease (`lease_lost`): the transaction stored nothing."""


class Lease:
    """A lease that was taken, as its holder knows it."""

    def __init__(self, name: str, holder: str, epoch: int, ends: float, world: World) -> None:
        """`ends`: of `World.uptime`."""
        self.name = name
        self.holder = holder
        self.epoch = epoch
        self._ends = ends
        self._world = world

    @property
    def is_held(self) -> bool:
        """Whether it lasts, by our own clock."""
        return self.covers(0.0)

    @property
    def seconds_left(self) -> float:
        """How long it lasts, by our own clock."""
        return self._ends - self._world.uptime()

    def covers(self, seconds: float) -> bool:
        """Whether it lasts longer than something that takes so many seconds and begins now.

        For calls to other systems, which no transaction fences.
        """
        return self._world.uptime() + seconds < self._ends

    def fence(self, tx: StoreTx) -> None:
        """Raise `FencedError` unless the transaction is of the lease's holder."""
        row = tx.get(LEASES, self.name)
        if row is None or row.holder != self.holder or row.epoch != self.epoch:
            raise FencedError(
                "lease_lost",
                f"the lease {self.name!r} of this work was lost, another agent goes on with it; "
                "nothing of this was stored",
                lease=self.name,
                outcome="none",
            )

    def extend(self, ends: float) -> None:
        """It was renewed."""
        self._ends = ends


class Leases:
    """The leases that one open vault holds or waits for."""

    def __init__(
        self, store: Store, world: World, *, shared: bool, duration: float = DURATION
    ) -> None:
        """`shared`: other agents may have the database; else everything runs without a lease.

        The holder's id is a new one: an agent that is restarted does not take over what it held,
        since the process that it replaces may still be there.
        """
        self.holder = world.new_id()
        self._store = store
        self._world = world
        self._shared = shared
        self._duration = duration
        self._held: dict[str, Lease] = {}
        self._wanted: list[str] = []
        self._seen: dict[str, tuple[LeaseRow, float]] = {}  # rows of others, and since when
        self._is_failing = False

    def run_leased(self, name: str, run: Run) -> Run:
        """Work that begins only while this agent has the lease, and whose transactions are fenced.

        The agent asks for the lease from now on; `jobs` does that.
        """
        if not self._shared:
            return run
        self.want(name)
        return partial(self._run_leased, name, run)

    def watch(self, name: str) -> Callable[[], bool]:
        """Whether this agent has the lease, at each call; for effects outside of the database.

        The agent asks for the lease from now on, as for `run_leased`.
        """
        if not self._shared:
            return lambda: True
        self.want(name)
        return lambda: self.held(name) is not None

    def held(self, name: str) -> Lease | None:
        """The lease, if this agent has it."""
        lease = self._held.get(name)
        return lease if lease is not None and lease.is_held else None

    @property
    def jobs(self) -> list[Job]:
        """What has to run for as long as any lease is wanted."""
        return [Job("leases", LOOK, self.renew)] if self._wanted else []

    async def renew(self) -> None:
        """Renew what is held, and take what is free or expired, unless the database fails."""
        try:
            held = [name for name in self._wanted if name in self._held]
            due = [name for name in held if self._is_due(self._held[name])]
            due += await self._find_free([name for name in self._wanted if name not in held])
            if due:
                await self.claim(due)
        except VaultError as error:
            if not self._is_failing:
                log.warning("leases cannot be renewed, their work waits: %s", error.message)
            self._is_failing = True
        else:
            self._is_failing = False

    def _is_due(self, lease: Lease) -> bool:
        return lease.seconds_left <= self._duration - RENEWAL + LOOK / 2  # not a look later

    async def claim(self, names: Iterable[str]) -> dict[str, Lease]:
        """Take or renew these leases, as far as they are not another's; returns those it has.

        One transaction. Raises as `Store.commit`.
        """
        asked = self._world.uptime()
        rows = await self._store.commit(
            partial(
                _claim,
                names=tuple(names),
                holder=self.holder,
                duration=round(self._duration * SECOND),
                stalled=self._stalled(asked),
                wall=self._world.wall,
            ),
            deadline=DURATION,
        )
        for name, row in rows.items():
            self._note(name, row, asked)
        return {name: self._held[name] for name in rows if name in self._held}

    async def take(self, name: str) -> bool:
        """Take a lease for one piece of work, unless another has it; `jobs` renews it.

        Raises as `Store.commit`.
        """
        if not self._shared:
            return True
        self.want(name)
        try:
            await self.claim([name])
        finally:
            if self.held(name) is None:
                self._wanted.remove(name)
        return self.held(name) is not None

    def has(self, name: str) -> bool:
        """Whether a lease that was taken by `take` still lasts."""
        return not self._shared or self.held(name) is not None

    async def give_back(self, name: str) -> None:
        """Give up what `take` has taken. Raises as `Store.commit`; then it expires."""
        if name in self._wanted:
            self._wanted.remove(name)
        lease = self._held.pop(name, None)
        if lease is not None:
            await self._store.commit(partial(_release, leases=[lease]))

    async def release(self) -> None:
        """Give up what is held. Raises as `Store.commit`; then it expires."""
        held, self._held = self._held, {}
        if held:
            await self._store.commit(partial(_release, leases=list(held.values())))

    def want(self, name: str) -> None:
        """Ask for this lease from now on; `jobs` does that."""
        if self._shared and name not in self._wanted:
            self._wanted.append(name)

    async def _run_leased(self, name: str, run: Run) -> None:
        lease = self.held(name)
        if lease is None:
            return
        try:
            with fence_transactions(lease.fence):
                await run()
        except FencedError as error:
            log.warning("%s", error.message)
            if self._held.get(name) is lease:
                del self._held[name]

    async def _find_free(self, names: list[str]) -> list[str]:
        """Those that a claim may get, by what is known here; the transaction decides."""
        if names:
            await self._store.catch_up()
        now, free = self._world.uptime(), list[str]()
        for name in names:
            row = await self._store.get(LEASES, name)
            if row is not None and row.holder != self.holder:  # else a claim was in doubt
                self._observe(name, row, now)
                if not _is_free(row, self._world.wall(), self._stalled(now)):
                    continue
            free.append(name)
        return free

    def _observe(self, name: str, row: LeaseRow, now: float) -> None:
        known = self._seen.get(name)
        if known is None or known[0] != row:
            self._seen[name] = row, now

    def _stalled(self, now: float) -> dict[str, LeaseRow]:
        """Rows of others that have not changed for as long as a lease lasts."""
        return {
            name: row for name, (row, since) in self._seen.items() if now - since > self._duration
        }

    def _note(self, name: str, row: LeaseRow, asked: float) -> None:
        """Remember what a claim that was made at `asked` has brought."""
        ends, before = asked + self._duration, self._held.get(name)
        if row.holder != self.holder:
            self._observe(name, row, asked)
            if self._held.pop(name, None) is not None:
                log.warning("lease %s: another agent has taken it", name)
        elif before is not None and before.epoch == row.epoch:
            before.extend(ends)
        else:
            self._held[name] = Lease(name, self.holder, row.epoch, ends, self._world)
            self._seen.pop(name, None)
            log.info("lease %s: this agent has it, epoch %d", name, row.epoch)


def _claim(
    tx: StoreTx,
    *,
    names: tuple[str, ...],
    holder: str,
    duration: int,
    stalled: Mapping[str, LeaseRow],
    wall: Callable[[], int],
) -> dict[str, LeaseRow]:
    """Take or renew; returns the rows as they are now, those of others among them."""
    now = tx.database_time()
    if now is None:
        now = wall()
    for name in names:
        row = tx.get(LEASES, name) or LeaseRow(name=name, holder="", epoch=0, until=0, acquired=0)
        if _is_free(row, now, stalled):
            row = replace(row, holder=holder, epoch=row.epoch + 1, acquired=now)
        if row.holder == holder:
            tx.put(LEASES, replace(row, until=now + duration))
    found = tx.get_many(LEASES, [(name,) for name in names])
    return {row.name: row for row in found.values()}


def _is_free(row: LeaseRow, now: int, stalled: Mapping[str, LeaseRow]) -> bool:
    return not row.holder or row.until <= now or stalled.get(row.name) == row


def _release(tx: StoreTx, *, leases: Iterable[Lease]) -> None:
    """Free those that are still ours. The row stays: its epoch never begins anew."""
    for lease in leases:
        with suppress(FencedError):
            lease.fence(tx)
            row = tx.get(LEASES, lease.name)
            if row is not None:
                tx.put(LEASES, replace(row, holder="", until=0))


@asynccontextmanager
async def hold_leases(leases: Leases) -> AsyncIterator[None]:
    """Take what is free, for the work within the block; behind it the leases are free."""
    await leases.renew()
    try:
        yield
    finally:
        with trio.CancelScope(shield=True), trio.move_on_after(RELEASE_SECONDS):
            try:
                await leases.release()
            except VaultError as error:
                log.warning("leases are not released, they expire: %s", error.message)
