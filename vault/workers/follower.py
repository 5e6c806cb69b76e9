"""A worker's state kept true: what the journal says is applied before a request is answered."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import trio

from vault.errors import VaultError
from vault.store.bounded_cache import Slot
from vault.store.table import Key
from vault.workers.caches import SNAPSHOTS, WorkerCache
from vault.workers.journal import LOST, Cleared, Entry, Failed, Fence, JournalReader, Row, Settled
from vault.workers.lockout import WorkerLockout
from vault.workers.page import OPENING, Page

Rows: TypeAlias = frozenset[Key] | None  # of one table; None: any of them
Reload: TypeAlias = Callable[[Rows], Awaitable[None]]
"""Takes over what is stored of these rows."""


class Follower:
    """Applies the journal to the cache, the lockouts and the snapshots of one opening."""

    def __init__(
        self, page: Page, opening: int, cache: WorkerCache, lockout: WorkerLockout
    ) -> None:
        self._words = page.words
        self._opening = opening
        self._cache = cache
        self._lockout = lockout
        self._reader = JournalReader(page)
        lockout.lost()  # only now: a failure before this is in the page, one after it is read
        self._changing: dict[str, Rows] = {}  # what the transaction under way changes of snapshots
        self._stale: dict[str, Rows] = {}
        self._reload: Mapping[str, Reload] = {}
        self._one = trio.Lock()

    async def begin(self, reload: Mapping[str, Reload]) -> None:
        """Load every snapshot for the first time. `reload` has a function for each of them.

        Raises what these raise.
        """
        self._reload = reload
        self._stale = dict(_EVERYTHING)
        await self._refresh()

    async def is_current(self) -> bool:
        """Whether a request that begins now may be answered from here; catches up if need be.

        No while the vault is sealed, or while what decides on a request is being changed: then the
        leader alone knows.
        """
        if self._words[OPENING] != self._opening:
            return False
        if self._stale or self._reader.is_behind():
            try:
                await self._renew()
            except VaultError:
                return False  # the database fails us: let the leader tell what is wrong
        return not self._changing

    async def _renew(self) -> None:
        if not self._one.locked():  # else somebody reloads what is stale, and would miss the rest
            self._catch_up()
            if not self._stale:
                return  # as nearly always: a lock is two turns of the event loop
        async with self._one:
            self._catch_up()
            await self._refresh()

    def _catch_up(self) -> None:
        while self._reader.is_behind():
            entries = self._reader.read()
            if entries is LOST:
                self._start_over()
                continue
            for entry in entries:
                self._apply(entry)

    async def _refresh(self) -> None:
        for name in [name for name in SNAPSHOTS if name in self._stale]:
            await self._reload[name](self._stale[name])
            del self._stale[name]

    def _apply(self, entry: Entry) -> None:
        match entry:
            case Fence(slots, snapshots):
                self._hold(slots, snapshots)
            case Settled():
                self._cache.release()
                _join(self._stale, self._changing)
                self._changing.clear()
            case Failed(pair=pair):
                self._lockout.note(pair)
            case Cleared(pair=pair):
                self._lockout.clear(pair)

    def _hold(self, slots: tuple[Slot, ...] | None, snapshots: tuple[Row, ...]) -> None:
        if slots is None:
            self._cache.hold_all()
            self._changing.update(_EVERYTHING)
        else:
            self._cache.hold(slots)
            for name, key in snapshots:
                _join(self._changing, {name: frozenset([key])})

    def _start_over(self) -> None:
        self._cache.hold_all()
        self._cache.release()  # a transaction that is under way comes next, from where we joined
        self._lockout.lost()
        self._changing.clear()
        self._stale.update(_EVERYTHING)


_EVERYTHING: Final[Mapping[str, Rows]] = dict.fromkeys(SNAPSHOTS)


def _join(to: dict[str, Rows], more: Mapping[str, Rows]) -> None:
    """Any row and some are any."""
    for name, rows in more.items():
        there = to.get(name, frozenset())
        to[name] = None if there is None or rows is None else there | rows
