"""One session with the control plane, from `Hello` to the end of its connection.

Two tasks share the session, whose calls never wait: one takes what comes and applies it, the other
writes what is due, each frame on the egress ledger before it is on the wire.
"""

from collections.abc import Iterator
from typing import Final, Protocol

import trio

from actors import World
from protocols.link.delivery import Inbox, Outbox
from protocols.link.ends import End, Moment
from protocols.link.errors import PipeError, RemoteFaultError
from protocols.link.events import Acknowledged, CaughtUp, Event, Leaving, Missed, Opened, Received
from protocols.link.messages import Message, Observe, PolicyReplay, kind_of
from protocols.link.pipe import Pipe
from protocols.link.session import Session
from protocols.link.states import SENDABLE, State
from protocols.link.vocabulary import ByeReason, SkipReason
from vault.uplink.egress import Sending
from vault.uplink.intake import Intake, Item, Paces
from vault.uplink.ledger import Egress

GRAIN: Final = 0.001
"""Seconds waited at least: the rest of a wait could be less than the clock can tell."""
BATCH: Final = 16
"""Frames that are recorded with one sync of the ledger."""

PROBE: Final = 4
"""Messages of the outbox that a session begins with; each that is acknowledged lets two more go. So
a control plane that ends sessions without acknowledging hears the same few again, and not a whole
window each time: what is said is on the ledger, again and again."""


class Owner(Protocol):
    """Who is told how it goes; nothing here waits for the peer."""

    def opened(self, conversation: "Conversation") -> None:
        """Both ends have proven themselves: say what is to be said first."""
        ...

    def caught_up(self) -> None:
        """What waited on either side is through."""
        ...

    async def acknowledged(self) -> None:
        """The outbox has become shorter."""
        ...

    def observed(self) -> None:
        """The control plane wants to see more (`observed_until`)."""
        ...

    def asked(self, question: PolicyReplay) -> None:
        """The control plane wants to know what a candidate would have done."""
        ...

    async def lost(self) -> None:
        """The control plane has acknowledged messages of ours, or we of its, and lost that."""
        ...

    def stalled(self) -> None:
        """There is no room for what the control plane sends, and has not been for a while."""
        ...

    def flowing(self) -> None:
        """After `stalled`: what waited is applied."""
        ...


class Conversation:
    """A session, its pipe and its two tasks."""

    def __init__(
        self,
        *,
        pipe: Pipe,
        end: End,
        outbox: Outbox,
        inbox: Inbox,
        egress: Egress,
        sending: Sending,
        owner: Owner,
        world: World,
        paces: Paces | None = None,
    ) -> None:
        """`paces`: those of the sessions before this one; they begin here without."""
        self._pipe = pipe
        self._outbox = outbox
        self._egress = egress
        self._sending = sending
        self._owner = owner
        self._world = world
        self._paces = paces or Paces.begin(world.monotonic())
        self._intake = Intake(
            inbox=inbox,
            paces=self._paces,
            world=world,
            applied=self._applied,
            stalled=owner.stalled,
            flowing=owner.flowing,
        )
        self._stir = trio.Event()
        self._owed = True
        """Whether the outbox may hold what was not offered yet."""
        self._from = self._heard = 0
        """Where the outbox went on in this session, and up to where it was acknowledged."""
        self.session = Session.agent(end, self._now())
        self.spread = 0
        """Milliseconds over which the peer wants its agents to spread their return."""
        self.was_open = False
        self.observed_until = 0.0
        """On the monotonic clock: until then somebody looks at this agent."""

    async def run(self) -> None:
        """Talk until one side ends it. Raises `PipeError`, `LinkError`; the pipe is closed then."""
        fault = ""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)
                nursery.start_soon(self._intake.run)
                await self._write()
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            failure = _only(group)
            fault = failure.fault.value if isinstance(failure, RemoteFaultError) else ""
            raise failure from None
        finally:
            with trio.CancelScope(shield=True):  # bounded by the pipe
                await self._pipe.aclose(fault)

    @property
    def is_live(self) -> bool:
        """Whether what waited on either side at the beginning is through."""
        return self.session.state is State.LIVE

    def send(self, message: Message) -> None:
        """Say something that is lost with the connection.

        Nothing happens once it is over, or if the peer is too old to know the message.
        """
        if self.session.state in SENDABLE and kind_of(message).since <= self.session.version:
            self.session.send(message)
            self._stir.set()

    def leave(self, reason: ByeReason) -> None:
        """End in order, with everything under way."""
        self.session.leave(reason, self._now())
        self._stir.set()

    def stir(self) -> None:
        """Look at the outbox: there may be something new."""
        self._owed = True
        self._stir.set()
        self._intake.stir()

    async def _listen(self) -> None:
        try:
            while not self.session.ended:
                frame = await self._pipe.receive()
                for event in self.session.receive(frame, self._now()):
                    await self._handle(event)
                self._stir.set()
        except PipeError:
            if not self.session.ended:
                raise

    async def _write(self) -> None:
        while True:
            self._stir = trio.Event()
            self.session.tick(self._now())
            await self._offer()
            frames = self.session.frames(self._now())
            for start in range(0, len(frames), BATCH):
                some = frames[start : start + BATCH]
                await self._egress.record(self._sending, some)
                for frame in some:
                    await self._pipe.send(frame)
            if self.session.ended:
                return
            if not frames:
                await self._wait(self.session.deadline - self._world.monotonic())

    async def _offer(self) -> None:
        while self._owed and (room := self._room()):
            self._owed = False
            batch = await self._outbox.read(self.session.sent, room)
            if batch.through == self.session.sent:
                return
            if self._room():
                self.session.offer(batch)
            left = self.session.sent < batch.through or len(batch.entries) >= room
            self._owed = self._owed or left

    def _room(self) -> int:
        room = self.session.room
        if not room:
            return 0
        begun = PROBE + 2 * (self._heard - self._from) - (self.session.sent - self._from)
        return max(0, min(room, begun))

    async def _handle(self, event: Event) -> None:
        match event:
            case Opened():
                self.was_open = True
                self._from = self._heard = self.session.sent
                self._owner.opened(self)
            case CaughtUp():
                self._owner.caught_up()
            case Received(id=0, message=Observe(seconds=seconds)):
                self.observed_until = self._world.monotonic() + seconds
                self._owner.observed()
            case Received(id=0, message=PolicyReplay() as question):
                self._paces.questions.demand(self._world.monotonic())
                self._owner.asked(question)
            case Received(id=0):
                pass  # nothing else that a control plane sends is for the moment only
            case Received() | Missed():
                await self._intake.take(self.session.peer_stream, event)
            case Acknowledged(through=through):
                self._heard = max(self._heard, through)
                await self._outbox.acknowledge(through)
                self._intake.stir()
                await self._owner.acknowledged()
            case Leaving(spread=spread):
                self.spread = spread

    async def _applied(self, item: Item) -> None:
        """It is durable: acknowledge it."""
        for event in self.session.applied(item.id if isinstance(item, Received) else item.last):
            await self._handle(event)
        if isinstance(item, Missed) and item.reason is SkipReason.ACKNOWLEDGED:
            await self._owner.lost()
        self._stir.set()

    async def _wait(self, seconds: float) -> None:
        """Until something stirs, or the session's clock is due."""
        await heard(self._stir, max(GRAIN, seconds))

    def _now(self) -> Moment:
        return Moment(self._world.monotonic(), self._world.wall() // 1_000_000)


async def heard(event: trio.Event, seconds: float) -> None:
    """Return when it is set, after so many seconds at the latest."""
    with trio.move_on_after(max(0.0, seconds)):
        await event.wait()


def _only(group: BaseExceptionGroup[BaseException]) -> Exception:
    """The failure of a connection: a fault before the broken pipe that follows from it.

    What is no `Exception` (cancellation above all) and what is more than one failure of its own is
    raised on as it is.
    """
    _, fatal = group.split(Exception)
    if fatal is not None:
        raise fatal
    found = list(_leaves(group))
    chosen = [error for error in found if not isinstance(error, PipeError)] or found[:1]
    if len(chosen) > 1:
        raise group
    return chosen[0]


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        elif isinstance(error, Exception):
            yield error
