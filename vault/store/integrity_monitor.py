"""Watches the database while the vault serves: nobody but this process may write it then.

- Once a day it is read through, since opening the vault checks only the rows of authority.
- Once a second it is asked whether somebody else has written. If so, every cached row is forgotten,
  the write is recorded in the audit log, and all rows are counted again.

What is damaged is no longer served from: the vault is sealed until an operator has looked.
"""

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

import trio

from actors import World
from vault.errors import TamperedError, UnavailableError
from vault.store.interface import StoreSession
from vault.store.store import Store

log: Final = logging.getLogger("freehold.store")
FULL_CHECK_INTERVAL: Final = 86_400.0  # seconds from one reading to the next
FOREIGN_CHECK_INTERVAL: Final = 1.0  # seconds between looks for what others write
MAX_FOREIGN_WRITES: Final = 3
"""How often others may write in `WINDOW`: a `VACUUM` of an administrator is forgiven, but each is
counted after, and an attacker must not keep the agent counting."""
WINDOW: Final = 3_600.0  # seconds
FINAL_CHECK_TIMEOUT: Final = 5.0  # for the look at the end
FOREIGN_WRITE_CODE: Final = "storage_foreign_write"
_SEALING: Final = frozenset({"store_corrupt", "store_locked"})
"""Codes with which nothing may be served any more: it is damaged, or another agent has it."""
_WRITTEN: Final = (
    "somebody else has written to the database while the agent runs; all rows are counted again. "
    "Find out who can write the file"
)
_TOO_OFTEN: Final = (
    "somebody else writes to the database again and again while the agent runs; stop it, then "
    "open the vault again"
)


class DamageReaction(Protocol):
    """What a look at the database needs of those above the store."""

    def begin_recount(self) -> Callable[[StoreSession], None]:
        """See `CommitStampWriter`."""
        ...

    @property
    def seal(self) -> Callable[[], None]:
        """To be called: nothing is served from this database any more."""
        ...

    @property
    def alert(self) -> Callable[[], None]:
        """To be called: the database was changed by somebody else, or is damaged."""
        ...

    async def record(self, code: str, what: str, /) -> None:
        """Put it on record, as an alert. Raises `UnavailableError`."""
        ...


@asynccontextmanager
async def monitor_integrity(
    store: Store, reaction: DamageReaction, known_foreign_writes: int, world: World
) -> AsyncIterator[None]:
    """Look at it for the length of the block, and once more at its end; it is sealed once.

    `known_foreign_writes`: those that were looked at when the vault was opened. A database that
    does not answer is no damage: its next caller gets the error.
    """
    foreign = _ForeignWriteMonitor(store, reaction, known_foreign_writes, world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_run_full_checks, store, reaction, world)
        nursery.start_soon(foreign.run_until_sealed)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()
            with trio.move_on_after(FINAL_CHECK_TIMEOUT, shield=True):
                await foreign.check()  # of the last second


async def _run_full_checks(store: Store, reaction: DamageReaction, world: World) -> None:
    while True:
        try:
            await store.check()
            await store.inspect(reaction.begin_recount)
        except (TamperedError, UnavailableError) as error:
            if await seal_if_damaged(error, reaction):
                return
            log.warning("the database could not be read through: %s", error)
        await world.sleep(FULL_CHECK_INTERVAL)


class _ForeignWriteMonitor:
    """What others write while we have the database."""

    def __init__(self, store: Store, reaction: DamageReaction, seen: int, world: World) -> None:
        self._store = store
        self._reaction = reaction
        self._world = world
        self._seen = seen
        self._recorded = seen  # as far as it is on record
        self._uncounted = False  # rows are to be counted again
        self._times = deque[float](maxlen=MAX_FOREIGN_WRITES)
        self._sealed = False

    async def run_until_sealed(self) -> None:
        """Until the vault is sealed for it."""
        while not await self.check():
            await self._world.sleep(FOREIGN_CHECK_INTERVAL)

    async def check(self) -> bool:
        """Put on record what is new, then count. Whether the vault is sealed for it."""
        if self._sealed:
            return True
        try:
            await self._check_once()
        except (TamperedError, UnavailableError) as error:
            self._sealed = await seal_if_damaged(error, self._reaction)
            if not self._sealed:
                log.warning("the database could not be looked at: %s", error)
        return self._sealed

    async def _check_once(self) -> None:
        if (found := self._store.finding) is not None:
            raise found
        try:
            now = await self._store.foreign_writes()
        except UnavailableError:
            await self._store.invalidate_all()  # it may be another agent's already
            raise
        if now != self._seen:
            self._seen, self._uncounted = now, True
            self._times.append(self._world.monotonic())
            await (
                self._store.invalidate_all()
            )  # what was written may be gone again, and was read meanwhile
        if self._recorded != self._seen:
            log.error("%s", _WRITTEN)
            await self._reaction.record(FOREIGN_WRITE_CODE, _WRITTEN)
            self._recorded = now
            self._reaction.alert()
        if not self._uncounted:
            return
        if len(self._times) == MAX_FOREIGN_WRITES and self._times[-1] - self._times[0] < WINDOW:
            raise TamperedError(FOREIGN_WRITE_CODE, _TOO_OFTEN)
        await self._store.inspect(self._reaction.begin_recount)
        self._uncounted = False


async def seal_if_damaged(
    error: TamperedError | UnavailableError, reaction: DamageReaction
) -> bool:
    """Seal the vault if this is damage, and put on record why. Whether it was."""
    if not isinstance(error, TamperedError) and error.code not in _SEALING:
        return False
    log.error("the vault is sealed: %s", error)
    reaction.seal()
    reaction.alert()
    try:
        with trio.CancelScope(shield=True):  # the seal cancels this task
            await reaction.record(error.code, f"the vault is sealed: {error.message}")
    except UnavailableError as unrecorded:
        log.error("that is not on record: %s", unrecorded)  # noqa: TRY400  # one line tells all
    return True
