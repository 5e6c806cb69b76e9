"""Joins the processes of one control plane, and relays events between their buses.

An event only says when to read the store, which is the truth: a lost event costs time and nothing
else. Messages are numbered, and there is one each second. A process that misses one finds out
within a second, and its subscribers read the store (`EventBus.mark_all_lost`). A process receives
its own messages, too: without them it is disconnected (`is_connected`).
"""

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final
from uuid import UUID

import msgspec
import trio
from msgspec import Struct

from actors import World
from control.cluster.pubsub import Channel, PubSub, PubSubError
from control.errors import UnavailableError
from control.services.event_bus import Event, EventBus
from control.store import shared_values
from control.store.rows import Tx
from control.store.store import Store

HEARTBEAT_SECONDS: Final = 1.0
"""Seconds between two messages of one process."""
SILENCE_TIMEOUT: Final = 3.0
"""Seconds without a word of our own after which the line is given up."""
MAX_RETRY_DELAY: Final = 1.0
"""Seconds, at most, before the next try; by full jitter."""
WAITING: Final = 20_000
"""Events that may wait to be said: as many as a subscriber may have."""
BATCH: Final = 500
MAX_PEERS: Final = 64
"""How many are remembered; forgetting one costs a look at the store."""

log: Final = logging.getLogger("freehold.control.cluster")
KEYS_NAME: Final = "keys"
CLUSTER_NAME: Final = "cluster"


class RelayMessage(Struct, frozen=True, array_like=True):
    """One message. `number` grows by one with each, or by more where some were not sent."""

    speaker: bytes
    number: int
    events: list[Event]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(RelayMessage).decode


class EventRelay:
    """The relay of one process."""

    def __init__(self, bus: EventBus, pubsub: PubSub, channel: str, world: World) -> None:
        self._bus = bus
        self._wire = pubsub
        self._channel = channel
        self._world = world
        self._own_id = UUID(world.new_id()).bytes
        self._number = 0
        self._waiting: deque[Event] = deque()
        self._more = trio.Event()
        self._last_numbers: dict[bytes, int] = {}
        self._last_echo: float | None = None
        self._trouble = ""
        bus.forward, bus.is_connected = self._enqueue, lambda: self.is_connected

    @property
    def is_connected(self) -> bool:
        """Whether messages of other processes arrive at this moment."""
        return self._last_echo is not None

    async def run(self) -> None:
        """Keep a channel open, and open another one after its end, until cancelled."""
        while True:
            try:
                async with self._wire.open_channel(self._channel) as line:
                    await self._serve_channel(line)
            except PubSubError as error:
                self._log_trouble(str(error))
            self._reset()
            await self._world.sleep(MAX_RETRY_DELAY * self._world.jitter())

    async def _serve_channel(self, line: Channel) -> None:
        """Send and receive on one channel. Raises `PubSubError` at its end."""
        failed = PubSubError("over")

        async def guarded(task: Callable[[Channel], Awaitable[None]]) -> None:
            nonlocal failed
            try:
                await task(line)
            except PubSubError as error:
                failed = error
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for task in (self._send_events, self._receive_events, self._watch_silence):
                nursery.start_soon(guarded, task)
        raise failed

    # --- speaking ---------------------------------------------------------------------------------

    def _enqueue(self, events: tuple[Event, ...]) -> None:
        if not self.is_connected or len(self._waiting) + len(events) > WAITING:
            self._number += 1  # whoever hears the next one knows that one is missing
            return
        self._waiting.extend(events)
        self._more.set()

    async def _send_events(self, line: Channel) -> None:
        while True:
            self._more = trio.Event()
            events = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._number += 1
            await line.publish(_encode(RelayMessage(self._own_id, self._number, events)))
            if not self._waiting:
                with trio.move_on_after(HEARTBEAT_SECONDS):
                    await self._more.wait()

    # --- listening --------------------------------------------------------------------------------

    async def _receive_events(self, line: Channel) -> None:
        while True:
            message = await line.receive()
            try:
                told = _decode(message)
            except msgspec.MsgspecError:
                log.warning("somebody says what is not ours on the channel %s", self._channel)
            else:
                self._handle_message(told)

    def _handle_message(self, told: RelayMessage) -> None:
        if told.speaker == self._own_id:  # not secret: an id of a process
            self._record_contact()
            return
        last = self._last_numbers.get(told.speaker, 0)
        if told.number != last + 1:
            self._bus.mark_all_lost()
        if last == 0 and len(self._last_numbers) >= MAX_PEERS:
            self._last_numbers.clear()
        self._last_numbers[told.speaker] = told.number
        self._bus.publish_locally(*told.events)

    def _record_contact(self) -> None:
        if self._last_echo is None:
            self._trouble = ""
            log.info("other processes are heard")
            self._bus.mark_all_lost()  # who knows what was said before
        self._last_echo = self._world.monotonic()

    async def _watch_silence(self, _: Channel) -> None:
        """Close a channel on which nothing arrives: it may be half open."""
        since = self._world.monotonic()
        while self._world.monotonic() - (self._last_echo or since) < SILENCE_TIMEOUT:
            await self._world.sleep(HEARTBEAT_SECONDS)
        raise PubSubError("nothing is heard")

    def _reset(self) -> None:
        """Drop what waits to be sent: the others see that some is missing."""
        if self._waiting:
            self._waiting.clear()
            self._number += 1
        if self._last_echo is not None:
            self._last_echo = None
            self._bus.mark_all_lost()

    def _log_trouble(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning(
                "events of other processes are not heard, the database is asked: %s", trouble
            )


@asynccontextmanager
async def join_cluster(
    store: Store, bus: EventBus, pubsub: PubSub | None, keys: str, world: World
) -> AsyncIterator[None]:
    """Hold a lease and relay events, for the length of the block. No `pubsub`: alone.

    `keys` is a fingerprint of this process' signing keys. Raises `UnavailableError` (`keys_differ`)
    where other processes have other keys, and (`database_taken`) once the lease is lost.
    """
    cluster = await store.write(partial(agree_on_cluster, keys, world.new_id())) if pubsub else ""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.lease.keep)
        if pubsub is not None:
            nursery.start_soon(EventRelay(bus, pubsub, f"freehold:{cluster}", world).run)
        yield
        nursery.cancel_scope.cancel()


def agree_on_cluster(keys: str, fresh: str, tx: Tx) -> str:
    """The name of the cluster of this database, whose processes must have the same keys.

    Agents accept what is signed by the keys that they were enrolled with, wherever they are linked.
    """
    if shared_values.get_or_set_shared_value(tx, KEYS_NAME, keys) != keys:
        raise UnavailableError(
            "keys_differ",
            "the processes on this database sign with other keys: copy `keys.folder` from them",
        )
    return shared_values.get_or_set_shared_value(tx, CLUSTER_NAME, fresh)
