"""What a worker's dialects have for a gate: reads and writes go through, the rest to the leader."""

from contextlib import suppress
from typing import Any, Final, NoReturn

import trio

from vault.model.mounts import MountTable
from vault.model.operation import Operation, Origin, P, R, RunOperation
from vault.model.payloads import ListKeys, ReadMetadata
from vault.operations import REFUSED_REQUEST
from vault.seal.manager import DRAIN_TIMEOUT, InitResult, SealStatus
from vault.workers.elsewhere import Elsewhere
from vault.workers.reading import LOCAL, Reading
from vault.workers.writes import is_large

_READS: Final = frozenset({"GET", "HEAD", "LIST"})  # methods of requests that may be reads
_WRITES: Final = frozenset({"POST", "PUT"})  # the same of writes
_SECRETS: Final = b"/api/v1/secrets"
_BATCHES: Final = b"/api/v1/batch/"
_VAULT: Final = b"/v1/"
_SYSTEM: Final = (b"/v1/sys/", b"/v1/auth/")
_CHANGES: Final = (b"/metadata/", b"/delete/", b"/undelete/", b"/destroy/")  # of KV v2


def may_serve(method: str, path: bytes) -> bool:
    """Whether a request with this method and path may be of operations that are done here."""
    if method in _READS:
        return True
    if method not in _WRITES:
        return False
    if path.startswith(_VAULT):  # of KV v1 a name is the whole path
        return not path.startswith(_SYSTEM) and not any(part in path for part in _CHANGES)
    return path.startswith((_SECRETS, _BATCHES))


class WorkerDoor:
    """`VaultService` in a worker: raises `Elsewhere` for what it does not do itself."""

    def __init__(self, run_there: RunOperation) -> None:
        """`run_there` has a read or a write run by the leader."""
        self._run_there = run_there
        self._reading: Reading | None = None
        self._in_flight = 0
        self._idle = trio.Event()

    async def serves(self) -> bool:
        """Whether a request may be answered here, on what every process agrees on now.

        To be asked when a request is there, and of a request of several operations before each, and
        not again before what was asked is done: what changes in between happens beside it, and
        either order of the two is right.
        """
        reading = self._reading
        return reading is not None and await reading.follower.is_current()

    async def run_operation(self, op: Operation[P, R]) -> R:
        """Run a read, or a write; `Elsewhere` for anything else.

        Of a request of several each is decided on by itself, on what is so then: others may be done
        by now. So the leader, too, is asked for one that is his, and not for all of them.
        """
        if op.type is REFUSED_REQUEST:
            return await self._run_there(op)
        if not op.part:
            return await self._run(op)
        if await self.serves():
            with suppress(Elsewhere):
                return await self._run(op)
        return await self._run_there(op)

    async def knows(self, credential: str | None, origin: Origin) -> bool:
        """Whether a credential stands; `Elsewhere` unless it does: the leader refuses."""
        reading = self._reading
        if reading is None:
            raise Elsewhere
        self._in_flight += 1
        try:
            known = await reading.pipeline.knows(credential, origin)
        finally:
            self._leave()
        if not known:
            raise Elsewhere
        return True

    async def _run(self, op: Operation[P, R]) -> R:
        reading = self._reading
        if reading is None or op.name not in LOCAL or _is_leaders(op):
            raise Elsewhere
        self._in_flight += 1
        try:
            return await reading.pipeline.run_operation(op)
        finally:
            self._leave()

    def _leave(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    @property
    def mounts(self) -> MountTable:
        """The current mounts."""
        if self._reading is None:
            raise Elsewhere
        return self._reading.mounts

    def open(self, reading: Reading) -> None:
        """Let operations in."""
        self._reading = reading

    async def shut(self) -> None:
        """Let none in any more, and give those in flight their time."""
        self._reading = None
        self._idle = trio.Event()
        with trio.move_on_after(DRAIN_TIMEOUT):
            if self._in_flight:
                await self._idle.wait()

    @property
    def is_open(self) -> bool:
        """The leader knows."""
        raise Elsewhere

    def status(self) -> SealStatus:
        """The leader knows."""
        raise Elsewhere

    async def initialize(
        self, shares: int, threshold: int, root_token: str | None = None
    ) -> InitResult:
        """The leader does."""
        _elsewhere(shares, threshold, root_token)

    async def unseal(self, share: bytes) -> SealStatus:
        """The leader does."""
        _elsewhere(share)

    def reset_unseal(self) -> SealStatus:
        """The leader does."""
        raise Elsewhere

    async def auto_unseal(self) -> bool:
        """The leader does."""
        raise Elsewhere

    async def wait_sealed(self) -> None:
        """The leader knows."""
        raise Elsewhere


def _is_leaders(op: Operation[Any, Any]) -> bool:
    """Whether it is for him though others of its name are not.

    A large write would hold up small ones; how often a secret was read he alone adds up; and of a
    list that is looked at each step is decided on by what is so by then.
    """
    match op.payload:
        case ReadMetadata(uses=asked) | ListKeys(looked_at=asked):
            return asked
        case _:
            return is_large(op)


def _elsewhere(*_: object) -> NoReturn:
    raise Elsewhere
