"""An owner of one session, as the docstring of `protocols.link.session` shows it.

The bare link: real sessions and real delivery between two durable ends, without what agent and
control plane make of it. It is quick, so it runs for many hours, and it needs nothing but the link.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import trio

from protocols.link.delivery import Inbox, Outbox
from protocols.link.errors import RemoteFaultError, TransportError
from protocols.link.handshake import ChannelBinding
from protocols.link.messages import Cursor, Message
from protocols.link.session import ClockReading, LinkSession, SessionConfig
from protocols.link.session_events import (
    MessageReceived,
    MessagesAcknowledged,
    MessagesSkipped,
    PeerLeaving,
    SessionCaughtUp,
    SessionEvent,
)
from protocols.link.signing import Signer, Verifier
from protocols.link_transport.memory import MemoryInbox, MemoryOutbox
from tests.simulation.machine import SimWorld
from tests.simulation.oracle import Stream
from tests.simulation.wire import SimPipe

T = TypeVar("T")


def now(world: SimWorld) -> ClockReading:
    """For a session."""
    return ClockReading(world.monotonic(), world.wall() // 1_000_000)


def at_once(step: Any) -> Any:
    """The result of an async call that does not wait."""
    try:
        step.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a fake store does not wait")


class DurableOutbox:
    """A memory outbox on a disk that takes its time; it tells the oracle what is durable."""

    def __init__(self, world: SimWorld, kept: MemoryOutbox, stream: Stream) -> None:
        self._world = world
        self._kept = kept
        self._stream = stream

    async def state(self) -> Any:
        """See `Outbox`."""
        return await self._world.run_sync(lambda: at_once(self._kept.state()))

    async def append(self, message: Message) -> int:
        """See `Outbox`."""
        return await self._world.run_sync(self._append, message)

    async def read(self, after: int, limit: int) -> Any:
        """See `Outbox`."""
        return await self._world.run_sync(lambda: at_once(self._kept.read(after, limit)))

    async def acknowledge(self, through: int) -> None:
        """See `Outbox`."""
        await self._world.run_sync(self._acknowledge, through)

    def _append(self, message: Message) -> int:
        id_: int = at_once(self._kept.append(message))
        self._stream.write(id_, message)
        self._stream.dropped |= {entry.id for entry in self._kept.dropped}
        self._kept.dropped.clear()
        return id_

    def _acknowledge(self, through: int) -> None:
        self._stream.acknowledged(through)
        at_once(self._kept.acknowledge(through))


class DurableInbox:
    """A memory inbox on a disk; it tells the oracle what had an effect."""

    def __init__(self, world: SimWorld, kept: MemoryInbox, stream: Stream) -> None:
        self._world = world
        self._kept = kept
        self._stream = stream

    async def cursor(self) -> Cursor:
        """See `Inbox`."""
        cursor: Cursor = await self._world.run_sync(lambda: at_once(self._kept.cursor()))
        return cursor

    async def apply(self, stream: bytes, through: int, message: Message | None) -> bool:
        """See `Inbox`."""
        return await self._world.run_sync(self._apply, stream, through, message)

    def _apply(self, stream: bytes, through: int, message: Message | None) -> bool:
        done: bool = at_once(self._kept.apply(stream, through, message))
        if done:
            self._stream.apply(through, message)
            self._kept.applied.clear()
        return done


@dataclass(frozen=True)
class Party:
    """What one end is made of."""

    channel: ChannelBinding
    signer: Signer
    verifier: Verifier
    outbox: Outbox
    inbox: Inbox
    nonce: Callable[[], bytes]


class Owner:
    """One connection's session, from its beginning to its end."""

    def __init__(self, world: SimWorld, party: Party, pipe: SimPipe) -> None:
        self._world = world
        self._party = party
        self._pipe = pipe
        self._news = trio.Event()
        self.session: LinkSession | None = None
        self.live = False
        self.spread = 0

    async def run(self, make: Callable[[SessionConfig, ClockReading], LinkSession]) -> None:
        """Returns when the connection is over, whoever ended it."""
        fault = ""
        try:
            self.session = make(await self._end(), now(self._world))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, self.session)
                await self._write(self.session)
                nursery.cancel_scope.cancel()
        except* TransportError:
            pass
        except* RemoteFaultError as group:
            fault = next(iter(_leaves(group))).fault
        finally:
            with trio.CancelScope(shield=True):
                await self._pipe.aclose(fault)

    def say(self, message: Message) -> None:
        """An ephemeral message, if it can be said now."""
        if self.session is not None and self.session.window_room:
            self.session.send_message(message)
            self.tell()

    def tell(self) -> None:
        """There is something to write."""
        self._news.set()

    async def _end(self) -> SessionConfig:
        party = self._party
        return SessionConfig(
            channel=party.channel,
            signer=party.signer,
            verifier=party.verifier,
            nonce=party.nonce(),
            outbox=await party.outbox.state(),
            cursor=await party.inbox.cursor(),
        )

    async def _write(self, session: LinkSession) -> None:
        while True:
            self._news = trio.Event()
            session.tick(now(self._world))
            await self._fill(session)
            for frame in session.take_frames(now(self._world)):
                await self._pipe.send(frame)
            if session.is_ended:
                return
            if (
                session.window_room
                and (await self._party.outbox.state()).newest > session.last_sent
            ):
                continue
            with trio.move_on_at(session.deadline):
                await self._news.wait()

    async def _fill(self, session: LinkSession) -> None:
        while room := session.window_room:
            batch = await self._party.outbox.read(session.last_sent, room)
            if batch.through == session.last_sent or not session.window_room:
                return
            session.send_batch(batch)

    async def _read(self, session: LinkSession) -> None:
        while not session.is_ended:
            frame = await self._pipe.receive()
            for event in session.receive_frame(frame, now(self._world)):
                await self._handle(session, event)
            self.tell()

    async def _handle(self, session: LinkSession, event: SessionEvent) -> None:
        match event:
            case MessageReceived(id=id_, message=message) if id_:
                await self._party.inbox.apply(session.peer_stream, id_, message)
                self._applied(session, id_)
            case MessagesSkipped(last=last):
                await self._party.inbox.apply(session.peer_stream, last, None)
                self._applied(session, last)
            case MessagesAcknowledged(through=through):
                await self._party.outbox.acknowledge(through)
            case SessionCaughtUp():
                self.live = True
            case PeerLeaving(spread=spread):
                self.spread = spread

    def _applied(self, session: LinkSession, through: int) -> None:
        if not session.is_ended and any(
            isinstance(e, SessionCaughtUp) for e in session.mark_applied(through)
        ):
            self.live = True


def _leaves(group: BaseExceptionGroup[Any]) -> list[Any]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]
