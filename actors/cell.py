"""Cell: the fixed place of one actor in the tree. Incarnations come and go; the mailbox stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import trio

from actors.actor import Actor, BatchActor
from actors.child import Child, StopMode
from actors.errors import ActorStopped, BatchMismatch, StartTimeout, StopFailed, StopTimeout
from actors.mailbox import Mailbox
from actors.reply import Stop
from actors.tree import MailboxStats, Node
from actors.world import World


class Supervised(Protocol):
    """What a supervisor needs of its children, be they actors or supervisors."""

    path: str

    def begin(self) -> None:
        """Get ready for a new life; called before each `run`, without a checkpoint between."""
        ...

    async def run(self, ready: Callable[[], None]) -> None:
        """One life: call `ready` when able to serve, return at a normal end, raise at a failure."""
        ...

    def stop(self, mode: StopMode) -> None:
        """Have `run` return soon, in bounded time."""
        ...

    def close(self) -> None:
        """There will be no further life: fail whatever is queued."""
        ...

    def snapshot(self) -> Node:
        """What it looks like now; the supervisor adds what only it knows."""
        ...

    def mailboxes(self) -> list[Mailbox]:
        """Its own, or those of all below."""
        ...


class Cell:
    """One actor: on_start, turns until stopped or crashed, on_stop."""

    def __init__(self, child: Child, path: str, world: World) -> None:
        self.path = path
        self.mailbox = Mailbox(path, child.mailbox, child.overflow)
        self._child = child
        self._world = world
        self._kind = "not started"
        self._starting = trio.CancelScope()
        self._serving = trio.CancelScope()
        self._handled = 0
        self._busy = self._longest = 0.0

    def begin(self) -> None:
        """Fresh scopes: a stop that comes before the life's first step must not be lost."""
        self._starting = trio.CancelScope()
        self._serving = trio.CancelScope()
        self.mailbox.run()

    async def run(self, ready: Callable[[], None]) -> None:
        """Raises what the actor crashed with, or `StopFailed` (which then holds that too)."""
        actor = self._child.factory()
        self._kind = type(actor).__name__
        if not await self._start(actor):
            return
        ready()
        crashes: list[Exception] = []
        late: list[Exception] = []
        try:
            late += await self._serve(actor)
        except Exception as crash:  # noqa: BLE001  # raised below, after on_stop
            crashes = [crash]
            self.mailbox.fail_current(crash)
        finally:
            self.mailbox.fail_current(ActorStopped(f"{self.path} was cut off with it in hand"))
            late += await self._finish(actor)
        if late:
            raise StopFailed(f"{self.path} failed to stop", crashes + late)
        if crashes:
            raise crashes[0]

    def stop(self, mode: StopMode) -> None:
        """Cut a start short; let the message in hand (and, to drain, the queue) have its grace."""
        self._starting.cancel()
        self._serving.deadline = trio.current_time() + self._child.stop_grace
        if mode is StopMode.DRAIN:
            self.mailbox.drain()
        else:
            self.mailbox.pause()

    def close(self) -> None:
        """Fail what is queued and refuse what comes."""
        self.mailbox.close()

    def snapshot(self) -> Node:
        """Counts since the tree began, over all incarnations."""
        box = self.mailbox
        return Node(
            name=self.path,
            kind=self._kind,
            state="",
            handled=self._handled,
            mean_time=self._busy / self._handled if self._handled else 0.0,
            max_time=self._longest,
            mailbox=MailboxStats(
                depth=box.depth,
                bound=box.bound,
                overflow=box.overflow.value,
                waiting=box.waiting,
                dropped=box.dropped,
                refused=box.refused,
                expired=box.expired,
                lost=box.lost,
            ),
        )

    def mailboxes(self) -> list[Mailbox]:
        """The one."""
        return [self.mailbox]

    async def _start(self, actor: Actor[Any] | BatchActor[Any]) -> bool:
        limit = self._child.start_timeout
        with self._starting, trio.move_on_after(limit) as timer:
            await actor.on_start()
            return True
        if timer.cancelled_caught:
            raise StartTimeout(f"{self.path}: on_start took more than {limit} s")
        return False

    async def _serve(self, actor: Actor[Any] | BatchActor[Any]) -> list[Exception]:
        with self._serving as scope:
            if isinstance(actor, BatchActor):
                await self._serve_batches(actor)
            else:
                await self._serve_singly(actor)
        if scope.cancelled_caught:
            return [StopTimeout(f"not done {self._child.stop_grace} s after the stop")]
        return []

    async def _serve_singly(self, actor: Actor[Any]) -> None:
        take, clock = self.mailbox.receive, self._world.monotonic
        while letters := await take(1):
            letter = letters[0]
            began = clock()
            result = await actor.receive(letter.message)
            self._count(clock() - began, 1)
            letter.resolve(result)
            if type(result) is Stop:
                return

    async def _serve_batches(self, actor: BatchActor[Any]) -> None:
        take, clock, limit = self.mailbox.receive, self._world.monotonic, actor.max_batch
        while letters := await take(limit, actor.hold):
            began = clock()
            results = await actor.receive_batch([letter.message for letter in letters])
            self._count(clock() - began, len(letters))
            if len(results) != len(letters):
                raise BatchMismatch(f"{self.path}: {len(results)} results for {len(letters)}")
            for letter, result in zip(letters, results, strict=True):
                letter.resolve(result)
            if _has_stop(results):
                return

    def _count(self, seconds: float, messages: int) -> None:
        self._handled += messages
        self._busy += seconds
        self._longest = max(self._longest, seconds)

    async def _finish(self, actor: Actor[Any] | BatchActor[Any]) -> list[Exception]:
        grace = self._child.stop_grace
        scope = trio.CancelScope(deadline=trio.current_time() + grace, shield=True)
        try:
            with scope:
                await actor.on_stop()
        except Exception as error:  # noqa: BLE001  # raised by live, together with a crash
            return [error]
        if scope.cancelled_caught:
            return [StopTimeout(f"on_stop took more than {grace} s")]
        return []


def _has_stop(results: Sequence[object]) -> bool:
    return Stop in map(type, results)
