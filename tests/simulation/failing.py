"""Disks that refuse, and actors that crash, in the very calls where the product has to bear it.

A call that a disk refuses has done nothing, or a part that is taken back, or everything, and says
so wrongly: after a failed sync nobody knows. What crashes is whatever comes next: the writer or a
job of the control plane, a task of an agent's uplink; before its work, or behind it.
"""

import errno
import os
import random
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import sqlalchemy as sa
import trio

from actors.periodic import PeriodicActor
from control.store.errors import StoreError
from control.store.store import StoreReader
from control.store.writer import StoreWriter
from tests.simulation.faults import CONTROL
from tests.simulation.observing import replaced
from vault.control_link.database import LinkDatabase
from vault.control_link.egress_ledger import EgressLedger

LATER: Final = 60.0
"""Seconds after a disk has worked again until what it broke is over, restarts and all."""


class CrashError(Exception):
    """An error that nobody has thought of."""


class Weak:
    """What is wrong with one process' machine."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._until = 0.0
        self._crash = ""
        self.serving = False
        """Whether its process has begun, and was not asked to end: then nothing may end it."""

    def refuse(self, seconds: float) -> None:
        """Half of what the disk is asked for fails, for so long."""
        self._until = max(self._until, trio.current_time() + seconds)

    def crash(self, when: str) -> None:
        """The next actor dies, `before` or `after` its work."""
        self._crash = when

    @property
    def lately(self) -> bool:
        """Whether what fails now may fail because of the disk."""
        return self._until > 0 and trio.current_time() < self._until + LATER

    def refuses(self) -> str:
        """Where this call fails: `before`, `amid`, `after`; empty: it does not."""
        if trio.current_time() >= self._until or self._chance.random() < 0.5:
            return ""
        return self._chance.choice(("before", "amid", "after"))

    def crashes(self, when: str) -> None:
        """Raises `CrashError` if it is to be here."""
        if self.serving and self._crash == when:
            self._crash = ""
            raise CrashError


@contextmanager
def failing(weak: Mapping[str, Weak]) -> Iterator[None]:
    """By the name of each process, for the length of the block; to be opened within `observed`."""
    with ExitStack() as stack:
        for owner, name, by in (
            (LinkDatabase, "_transact", _transacting),
            (LinkDatabase, "transact", _using),
            (EgressLedger, "_write", _writing),
            (StoreWriter, "_attempt", _attempting),
            (StoreWriter, "_commit", _committing),
            (PeriodicActor, "receive", _acting),
            (StoreReader, "_read", _reading),
        ):
            stack.enter_context(replaced(owner, name, by(vars(owner)[name], weak)))
        yield


# --- the agent ------------------------------------------------------------------------------------


def _transacting(before: Callable[..., Any], weak: Mapping[str, Weak]) -> Callable[..., Any]:
    def _transact(self: Any, change: Any) -> Any:
        when = weak[self._path.parent.name].refuses()
        if when == "before":
            raise sqlite3.OperationalError("disk I/O error")

        def refused(tx: Any) -> Any:
            change(tx)
            raise sqlite3.OperationalError("database or disk is full")

        result = before(self, refused if when == "amid" else change)
        if when == "after":
            raise sqlite3.OperationalError("disk I/O error")
        return result

    return _transact


def _using(before: Callable[..., Any], weak: Mapping[str, Weak]) -> Callable[..., Any]:
    async def transact(self: Any, change: Any) -> Any:
        mine = weak[self._path.parent.name]
        mine.crashes("before")
        result = await before(self, change)
        mine.crashes("after")
        return result

    return transact


def _writing(before: Callable[..., None], weak: Mapping[str, Weak]) -> Callable[..., None]:
    def _write(self: Any, data: bytes) -> None:
        when = weak[self._path.parent.name].refuses()
        if when == "amid":
            os.write(self._fd, data[: len(data) // 2])
        if when in {"before", "amid"}:
            raise OSError(errno.ENOSPC, "no space left on device")
        before(self, data)
        if when == "after":
            raise OSError(errno.EIO, "input/output error")

    return _write


# --- the control plane ----------------------------------------------------------------------------


def _attempting(before: Callable[..., Any], weak: Mapping[str, Weak]) -> Callable[..., Any]:
    def _attempt(self: Any, changes: Sequence[Any]) -> Any:
        when = weak[CONTROL].refuses()
        if when in {"before", "amid"}:
            raise sa.exc.OperationalError("BEGIN", None, sqlite3.OperationalError("disk I/O error"))
        results = before(self, changes)
        if when == "after":
            raise StoreError("store_unavailable", "the disk said no at the commit", "unknown")
        return results

    return _attempt


def _committing(before: Callable[..., Any], weak: Mapping[str, Weak]) -> Callable[..., Any]:
    def _commit(self: Any, changes: Sequence[Any]) -> Any:
        weak[CONTROL].crashes("before")
        results = before(self, changes)
        weak[CONTROL].crashes("after")
        return results

    return _commit


def _reading(before: Callable[..., Any], weak: Mapping[str, Weak]) -> Callable[..., Any]:
    def _read(self: Any, query: Any) -> Any:
        if weak[CONTROL].refuses():
            raise StoreError("store_unavailable", "the disk does not read")
        return before(self, query)

    return _read


def _acting(before: Callable[..., Any], weak: Mapping[str, Weak]) -> Callable[..., Any]:
    async def receive(self: Any, message: Any) -> Any:
        weak[CONTROL].crashes("before")
        result = await before(self, message)
        weak[CONTROL].crashes("after")
        return result

    return receive
