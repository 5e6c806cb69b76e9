"""Carries events between the bus of this process and those of the others.

An event only says when to look: the database is the truth, so nothing is lost with one, but time.
Every message has its speaker's number, and there is one each second; so whoever misses one knows
within a second, and its subscribers look at the store (`Bus.lapse`). A process hears itself, too:
as long as it does not, it is blind, and says so (`whole`).
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

import msgspec
import trio
from msgspec import Struct

from actors import World
from control.relay.wire import Line, Wire, WireError
from control.services.events import Bus, Event

BEAT: Final = 1.0
"""Seconds between two messages of one process."""
DEAF: Final = 3.0
"""Seconds without a word of our own after which the line is given up."""
PAUSE: Final = 1.0
"""Seconds, at most, before the next try; by full jitter."""
WAITING: Final = 20_000
"""Events that may wait to be said: as many as a subscriber may have."""
BATCH: Final = 500
SPEAKERS: Final = 64
"""How many are remembered; forgetting one costs a look at the store."""

log: Final = logging.getLogger("freehold.control.relay")


class Told(Struct, frozen=True, array_like=True):
    """One message. `number` grows by one with each, or by more where some were not said."""

    speaker: bytes
    number: int
    events: list[Event]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Told).decode


class Relay:
    """One of a process."""

    def __init__(self, bus: Bus, wire: Wire, channel: str, world: World) -> None:
        self._bus = bus
        self._wire = wire
        self._channel = channel
        self._world = world
        self._me = UUID(world.new_id()).bytes
        self._number = 0
        self._waiting: deque[Event] = deque()
        self._more = trio.Event()
        self._others: dict[bytes, int] = {}
        self._echo: float | None = None
        self._trouble = ""
        bus.tap, bus.whole = self._tap, lambda: self.whole

    @property
    def whole(self) -> bool:
        """Whether what others say is heard here at this moment."""
        return self._echo is not None

    async def run(self) -> None:
        """Until cancelled: a line, and after its end another one."""
        while True:
            try:
                async with self._wire.open(self._channel) as line:
                    await self._talk(line)
            except WireError as error:
                self._tell(str(error))
            self._fall_silent()
            await self._world.sleep(PAUSE * self._world.jitter())

    async def _talk(self, line: Line) -> None:
        """Raises `WireError` when the line is over."""
        failed = WireError("over")

        async def guarded(task: Callable[[Line], Awaitable[None]]) -> None:
            nonlocal failed
            try:
                await task(line)
            except WireError as error:
                failed = error
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for task in (self._speak, self._listen, self._watch):
                nursery.start_soon(guarded, task)
        raise failed

    # --- speaking ---------------------------------------------------------------------------------

    def _tap(self, events: tuple[Event, ...]) -> None:
        if not self.whole or len(self._waiting) + len(events) > WAITING:
            self._number += 1  # whoever hears the next one knows that one is missing
            return
        self._waiting.extend(events)
        self._more.set()

    async def _speak(self, line: Line) -> None:
        while True:
            self._more = trio.Event()
            events = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._number += 1
            await line.say(_encode(Told(self._me, self._number, events)))
            if not self._waiting:
                with trio.move_on_after(BEAT):
                    await self._more.wait()

    # --- listening --------------------------------------------------------------------------------

    async def _listen(self, line: Line) -> None:
        while True:
            message = await line.hear()
            try:
                told = _decode(message)
            except msgspec.MsgspecError:
                log.warning("somebody says what is not ours on the channel %s", self._channel)
            else:
                self._hear(told)

    def _hear(self, told: Told) -> None:
        if told.speaker == self._me:  # not secret: an id of a process
            self._awake()
            return
        last = self._others.get(told.speaker, 0)
        if told.number != last + 1:
            self._bus.lapse()
        if last == 0 and len(self._others) >= SPEAKERS:
            self._others.clear()
        self._others[told.speaker] = told.number
        self._bus.deliver(*told.events)

    def _awake(self) -> None:
        if self._echo is None:
            self._trouble = ""
            log.info("other processes are heard")
            self._bus.lapse()  # who knows what was said before
        self._echo = self._world.monotonic()

    async def _watch(self, _: Line) -> None:
        """Give up a line on which nothing is heard: it may be half open."""
        since = self._world.monotonic()
        while self._world.monotonic() - (self._echo or since) < DEAF:
            await self._world.sleep(BEAT)
        raise WireError("nothing is heard")

    def _fall_silent(self) -> None:
        """What waits is not said any more: the others see that some is missing."""
        if self._waiting:
            self._waiting.clear()
            self._number += 1
        if self._echo is not None:
            self._echo = None
            self._bus.lapse()

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning(
                "events of other processes are not heard, the database is asked: %s", trouble
            )
