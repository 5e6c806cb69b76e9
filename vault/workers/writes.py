"""The worker's side of writing: step 4 of its pipeline is the leader's, who owns the store.

He does it for all that has come meanwhile together (`vault.mutations`). Several frames may be under
way: what gathers here is few, what gathers there, while others are written, is many.
"""

from collections.abc import Callable
from math import ceil
from typing import Any, Final

import msgspec
import trio
from msgspec import Raw

from actors.latch import Latch
from vault.errors import ConflictError
from vault.handlers.handler import CHANGED_MEANWHILE, Call
from vault.model.operation import Operation
from vault.model.payloads import WriteSecret
from vault.model.results import SecretWritten
from vault.mutations import Decided
from vault.store.store import COMMIT_TIMEOUT
from vault.workers.carried import carried_of, error_of
from vault.workers.known import Known
from vault.workers.line import Line
from vault.workers.wire import (
    LOOK_EVERY,
    MOST_RELAYED,
    Carried,
    Ends,
    Lane,
    Sent,
    no_answer,
    overloaded,
)

MOST_AT_ONCE: Final = 64  # writes of a frame
MOST_FRAMES: Final = 4  # of a worker under way; what comes meanwhile gathers for the next
MOST_BYTES: Final = 1 << 16
"""Of a value that goes this way. Larger ones go with their requests, on a lane of their own."""
PATIENCE: Final = COMMIT_TIMEOUT + 10.0
"""Seconds until an answer. The leader's thread waits for its disk without a bound, but begins
nothing that was sent `COMMIT_TIMEOUT` before."""
_MOST_LOOKS: Final = ceil(PATIENCE / LOOK_EVERY)  # at one who waits: he has waited that long then
_encode: Final = msgspec.msgpack.Encoder().encode
_TURNS: Final = 2  # of the event loop that a frame waits while they bring more writes


def is_large(op: Operation[Any, Any]) -> bool:
    """Whether it is a write of more than `MOST_BYTES`."""
    return isinstance(op.payload, WriteSecret) and _size(op.payload) > MOST_BYTES


def _size(payload: WriteSecret) -> int:
    size = len(payload.value)
    if payload.metadata:
        size += sum(len(key) + len(text) for key, text in payload.metadata.items())
    return size + sum(map(len, payload.tags or ()))


class _Slot:
    """One encoded write, whoever waits for it, and since when (looks of `WriteLane`)."""

    __slots__ = ("end", "since", "there", "write")

    def __init__(self, write: Raw, since: int) -> None:
        self.write = write
        self.since = since
        self.there = Latch()
        self.end: Carried


class WriteLane:
    """Sends writes and waits until they are carried out. `run` must run meanwhile."""

    def __init__(self, lane: Lane[Ends], clock: Callable[[], float]) -> None:
        """`clock` is `World.uptime`."""
        self._lane = lane
        self._clock = clock
        self._queue: list[_Slot] = []
        self._line = Line(PATIENCE)
        self._sent: dict[int, list[_Slot]] = {}
        self._last = 0
        self._looks = 0  # at who has waited too long
        self._wake = trio.Event()

    async def ask(self, write: Raw) -> SecretWritten:
        """Have a `Decided` carried out; return what was written, or raise what is told of it.

        `PATIENCE` at most for room in the queue, where that is full, and as long again.
        """
        if len(self._queue) >= MOST_RELAYED and not await self._line.has_waited():
            raise overloaded()
        slot = _Slot(write, self._looks)
        self._queue.append(slot)
        self._wake.set()
        await slot.there.wait()
        if slot.end.written is None:
            raise error_of(slot.end)
        return slot.end.written

    async def run(self) -> None:
        """Until the lane closes. Raises `LaneClosed`."""
        async with trio.open_nursery() as nursery:
            for run in (self._lane.run, self._send, self._hand_out, self._give_up):
                nursery.start_soon(run)

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            await self._gather()
            while self._queue and len(self._sent) < MOST_FRAMES:
                frame, self._queue = self._queue[:MOST_AT_ONCE], self._queue[MOST_AT_ONCE:]
                self._line.admit(len(frame))
                self._last += 1
                self._sent[self._last] = frame
                sent = Sent(self._last, self._clock(), [slot.write for slot in frame])
                self._lane.post(sent)

    async def _gather(self) -> None:
        before = 0
        while before < len(self._queue) < MOST_AT_ONCE:
            before = len(self._queue)
            for _ in range(_TURNS):
                await trio.lowlevel.checkpoint()

    async def _hand_out(self) -> None:
        while True:
            answer = await self._lane.next_message()
            self._settle(self._sent.pop(answer.number, []), answer.ends)

    async def _give_up(self) -> None:
        """Tell those that have waited too long: what was sent may be done, what was not is not."""
        while True:
            await trio.sleep(LOOK_EVERY)
            self._looks += 1
            latest = self._looks - _MOST_LOOKS
            for number, frame in list(self._sent.items()):
                if frame[-1].since < latest:
                    self._settle(self._sent.pop(number), [_LATE] * len(frame))
            late = [slot for slot in self._queue if slot.since < latest]
            del self._queue[: len(late)]
            self._line.admit(len(late))
            self._settle(late, [_FULL] * len(late))

    def _settle(self, frame: list[_Slot], ends: list[Carried]) -> None:
        for slot, end in zip(frame, ends, strict=False):  # one that has been given up is no more
            slot.end = end
            slot.there.open()
        self._wake.set()


class RemoteWrites:
    """The handler of `secret.write` over the lane, while the vault is open."""

    def __init__(self, lane: WriteLane, known: Known) -> None:
        """`known` learns how each write ended."""
        self._lane = lane
        self._known = known

    async def __call__(self, call: Call[WriteSecret]) -> SecretWritten:
        """As `vault.handlers.secrets.SecretHandlers.write`."""
        path, facts = call.op.path, call.facts
        try:
            written = await self._lane.ask(Raw(_encode(Decided.of(call))))
        except ConflictError as error:
            if facts.is_guess and error.code == CHANGED_MEANWHILE:
                self._known.was_wrong(path, facts)
            raise
        self._known.written(path)
        return written


_LATE: Final = carried_of(no_answer())
_FULL: Final = carried_of(overloaded())
