"""One session with the control plane, from `Hello` to the end of its connection.

Two tasks share the session, whose calls never wait: one takes what comes and applies it, the other
writes what is due, each frame on the egress ledger before it is on the wire.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, NamedTuple, Protocol, Self, TypeAlias

import trio

from actors import World
from protocols.link.delivery import Inbox, Outbox
from protocols.link.errors import InboxFullError, RemoteFaultError, TransportError
from protocols.link.messages import CheckpointCosignature, Message, Observe, PolicyReplay, spec_of
from protocols.link.session import ClockReading, LinkSession, SessionConfig, require_token
from protocols.link.session_events import (
    MessageReceived,
    MessagesAcknowledged,
    MessagesSkipped,
    PeerLeaving,
    SessionCaughtUp,
    SessionEvent,
    SessionOpened,
)
from protocols.link.states import SENDABLE, SessionState
from protocols.link.transport import LinkTransport
from protocols.link.vocabulary import ByeReason, SkipReason
from protocols.token_bucket import MINUTE, TokenBucket
from vault.control_link.egress_chain import EgressStream
from vault.control_link.egress_ledger import EgressRecorder

MIN_WAIT: Final = 0.001
"""Seconds waited at least: the rest of a wait could be less than the clock can tell."""
FRAMES_PER_SYNC: Final = 16
"""Frames that are recorded with one sync of the ledger."""

INITIAL_WINDOW: Final = 4
"""Messages of the outbox that a session begins with; each that is acknowledged lets two more go. So
a control plane that ends sessions without acknowledging hears the same few again, and not a whole
window each time: what is said is on the ledger, again and again."""


class ConnectionObserver(Protocol):
    """Who is told how it goes; nothing here waits for the peer."""

    def on_opened(self, conversation: "LinkConnection") -> None:
        """Both ends have proven themselves: say what is to be said first."""
        ...

    def on_caught_up(self) -> None:
        """What waited on either side is through."""
        ...

    async def on_acknowledged(self) -> None:
        """The outbox has become shorter."""
        ...

    def on_observed(self) -> None:
        """The control plane wants to see more (`observed_until`)."""
        ...

    def on_replay_query(self, question: PolicyReplay) -> None:
        """The control plane wants to know what a candidate would have done."""
        ...

    async def on_data_loss(self) -> None:
        """The control plane has acknowledged messages of ours, or we of its, and lost that."""
        ...

    def on_stalled(self) -> None:
        """There is no room for what the control plane sends, and has not been for a while."""
        ...

    def on_resumed(self) -> None:
        """After `on_stalled`: what waited is applied."""
        ...


# What the control plane has sent and this agent has not applied yet, in its order.
#
# An agent is to be asked, not to be filled: each command ends as a line of its outbox, its ledger
# and its audit log, and only the control plane's acknowledgement takes it out of the first. So
# what comes is applied while there is room for it (`vault.control_link.inbox`) and no faster than
# a control plane needs. Until then it waits here, not applied and not acknowledged; after
# `WINDOW` of them the control plane has to stop, by the link's own rule. Nothing is lost: what
# waits when the connection ends is sent again.


MAX_BURST: Final = 512
"""Durable messages: twice what an honest control plane has waiting for one agent at most."""
REQUESTS_PER_MINUTE: Final = 20
"""From then on. A person who works on one agent's policies and commands stays below; commands that
come as fast as this for ever, and make the agent say 4 KB each, fill a file of the ledger in more
than an hour."""
COSIGNATURES_PER_MINUTE: Final = 120
"""Cosignatures: each answers a checkpoint, of which an agent can be set to make one a second."""
REPLAY_QUERIES_PER_MINUTE: Final = 60
"""Questions (`policy_replay`), and as many at once: an organization has 20 of them in ten minutes,
and a connection that is lost asks them again."""
STALL_TIMEOUT: Final = 60.0
"""Seconds without room until somebody is told: commands that run, and results that are on their
way to an honest control plane, take less."""
_MOMENT: Final = 0.001

IntakeItem: TypeAlias = MessageReceived | MessagesSkipped


class IntakeRates(NamedTuple):
    """How fast a control plane may be; of the agent, since a session is easily ended."""

    requests: TokenBucket
    cosignatures: TokenBucket
    replay_queries: TokenBucket

    @classmethod
    def unused(cls, now: float) -> Self:
        """All of them unused."""
        return cls(
            TokenBucket(MAX_BURST, REQUESTS_PER_MINUTE / MINUTE, now),
            TokenBucket(MAX_BURST, COSIGNATURES_PER_MINUTE / MINUTE, now),
            TokenBucket(REPLAY_QUERIES_PER_MINUTE, REPLAY_QUERIES_PER_MINUTE / MINUTE, now),
        )

    def rate_for(self, item: IntakeItem) -> TokenBucket:
        """What a durable message counts for."""
        cosigned = isinstance(item, MessageReceived) and isinstance(
            item.message, CheckpointCosignature
        )
        return self.cosignatures if cosigned else self.requests


class IntakeQueue:
    """Of one session."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        rates: IntakeRates,
        world: World,
        on_applied: Callable[[IntakeItem], Awaitable[None]],
        on_stalled: Callable[[], None],
        on_resumed: Callable[[], None],
    ) -> None:
        """`on_applied` is called for each applied item.

        `on_stalled` is called after `STALL_TIMEOUT`, then `on_resumed`.
        """
        self._inbox = inbox
        self._rates = rates
        self._world = world
        self._on_applied = on_applied
        self._on_stalled = on_stalled
        self._on_resumed = on_resumed
        self._stream = b""
        self._held: deque[IntakeItem] = deque()
        self._room = trio.Event()
        self._since = 0.0
        self._is_stalled = False

    async def receive(self, stream: bytes, item: IntakeItem) -> None:
        """Apply it now if it may be, else once it may: by `run`, after those before it."""
        self._stream = stream
        if self._held or await self._apply(item):
            self._hold(item)

    def notify_room(self) -> None:
        """There may be room now."""
        if self._held:
            self._room.set()

    async def run(self) -> None:
        """Apply what had to wait, until cancelled."""
        pause = float("inf")
        while True:
            with trio.move_on_after(pause):
                await self._room.wait()
            self._room = trio.Event()
            pause = float("inf")
            while self._held:
                if pause := await self._apply(self._held[0]):
                    self._report_stalled()
                    break
                self._held.popleft()
                self._since = self._world.monotonic()
                pause = float("inf")
                self._report_resumed()

    def _hold(self, item: IntakeItem) -> None:
        if not self._held:
            self._since = self._world.monotonic()
        self._held.append(item)
        self._room.set()

    async def _apply(self, item: IntakeItem) -> float:
        """0 if it is applied now; else seconds after which to try again at the latest."""
        rate = self._rates.rate_for(item)
        if wait := rate.seconds_until_free(self._world.monotonic()):
            return max(_MOMENT, wait)
        last, message = (
            (item.id, item.message) if isinstance(item, MessageReceived) else (item.last, None)
        )
        try:
            await self._inbox.apply(self._stream, last, message)
        except InboxFullError:
            return STALL_TIMEOUT
        rate.try_consume(self._world.monotonic())
        await self._on_applied(item)
        return 0.0

    def _report_resumed(self) -> None:
        if self._is_stalled and not self._held:
            self._is_stalled = False
            self._on_resumed()

    def _report_stalled(self) -> None:
        if not self._is_stalled and self._world.monotonic() - self._since >= STALL_TIMEOUT:
            self._is_stalled = True
            self._on_stalled()


class LinkConnection:
    """A session, its pipe and its two tasks."""

    def __init__(
        self,
        *,
        pipe: LinkTransport,
        config: SessionConfig,
        outbox: Outbox,
        inbox: Inbox,
        egress: EgressRecorder,
        stream: EgressStream,
        observer: ConnectionObserver,
        world: World,
        rates: IntakeRates | None = None,
    ) -> None:
        """`rates`: those of the sessions before this one; they begin here without."""
        self._pipe = pipe
        self._outbox = outbox
        self._egress = egress
        self._sending = stream
        self._observer = observer
        self._world = world
        self._rates = rates or IntakeRates.unused(world.monotonic())
        self._intake = IntakeQueue(
            inbox=inbox,
            rates=self._rates,
            world=world,
            on_applied=self._applied,
            on_stalled=observer.on_stalled,
            on_resumed=observer.on_resumed,
        )
        self._wake = trio.Event()
        self._has_unsent = True
        """Whether the outbox may hold what was not offered yet."""
        self._started_at = self._acknowledged = 0
        """Where the outbox went on in this session, and up to where it was acknowledged."""
        self.session = LinkSession.agent(config, self._now())
        self.spread = 0
        """Milliseconds over which the peer wants its agents to spread their return."""
        self.was_open = False
        self.observed_until = 0.0
        """On the monotonic clock: until then somebody looks at this agent."""

    async def run(self) -> None:
        """Talk until one side ends it. Raises `TransportError` or `LinkError`."""
        fault = ""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)
                nursery.start_soon(self._intake.run)
                await self._write()
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            failure = _single_failure(group)
            fault = failure.fault.value if isinstance(failure, RemoteFaultError) else ""
            raise failure from None
        finally:
            with trio.CancelScope(shield=True):  # bounded by the pipe
                await self._pipe.aclose(fault)

    @property
    def is_live(self) -> bool:
        """Whether what waited on either side at the beginning is through."""
        return self.session.state is SessionState.LIVE

    def send(self, message: Message) -> None:
        """Say something that is lost with the connection.

        Nothing happens once it is over, or if the peer is too old to know the message.
        """
        if self.session.state in SENDABLE and spec_of(message).since <= self.session.version:
            self.session.send_message(message)
            self._wake.set()

    def leave(self, reason: ByeReason) -> None:
        """End in order, with everything under way."""
        self.session.send_bye(reason, self._now())
        self._wake.set()

    def notify_outbox(self) -> None:
        """Look at the outbox: there may be something new."""
        self._has_unsent = True
        self._wake.set()
        self._intake.notify_room()

    async def _listen(self) -> None:
        try:
            while not self.session.is_ended:
                frame = await self._pipe.receive()
                for event in self.session.receive_frame(frame, self._now()):
                    await self._handle(event)
                self._wake.set()
        except TransportError:
            if not self.session.is_ended:
                raise

    async def _write(self) -> None:
        while True:
            self._wake = trio.Event()
            self.session.tick(self._now())
            await self._offer()
            frames = self.session.take_frames(self._now())
            for start in range(0, len(frames), FRAMES_PER_SYNC):
                some = frames[start : start + FRAMES_PER_SYNC]
                await self._egress.record(self._sending, some)
                for frame in some:
                    await self._pipe.send(frame)
            if self.session.is_ended:
                return
            if not frames:
                await self._wait(self.session.deadline - self._world.monotonic())

    async def _offer(self) -> None:
        while self._has_unsent and (room := self._room()):
            self._has_unsent = False
            batch = await self._outbox.read(self.session.last_sent, room)
            if batch.through == self.session.last_sent:
                return
            if self._room():
                self.session.send_batch(batch)
            left = self.session.last_sent < batch.through or len(batch.entries) >= room
            self._has_unsent = self._has_unsent or left

    def _room(self) -> int:
        room = self.session.window_room
        if not room:
            return 0
        begun = (
            INITIAL_WINDOW
            + 2 * (self._acknowledged - self._started_at)
            - (self.session.last_sent - self._started_at)
        )
        return max(0, min(room, begun))

    async def _handle(self, event: SessionEvent) -> None:
        match event:
            case SessionOpened():
                self.was_open = True
                self._started_at = self._acknowledged = self.session.last_sent
                self._observer.on_opened(self)
            case SessionCaughtUp():
                self._observer.on_caught_up()
            case MessageReceived(id=0, message=Observe(seconds=seconds)):
                self.observed_until = self._world.monotonic() + seconds
                self._observer.on_observed()
            case MessageReceived(id=0, message=PolicyReplay() as question):
                require_token(self._rates.replay_queries, self._world.monotonic())
                self._observer.on_replay_query(question)
            case MessageReceived(id=0):
                pass  # nothing else that a control plane sends is for the moment only
            case MessageReceived() | MessagesSkipped():
                await self._intake.receive(self.session.peer_stream, event)
            case MessagesAcknowledged(through=through):
                self._acknowledged = max(self._acknowledged, through)
                await self._outbox.acknowledge(through)
                self._intake.notify_room()
                await self._observer.on_acknowledged()
            case PeerLeaving(spread=spread):
                self.spread = spread

    async def _applied(self, item: IntakeItem) -> None:
        """It is durable: acknowledge it."""
        for event in self.session.mark_applied(
            item.id if isinstance(item, MessageReceived) else item.last
        ):
            await self._handle(event)
        if isinstance(item, MessagesSkipped) and item.reason is SkipReason.ACKNOWLEDGED:
            await self._observer.on_data_loss()
        self._wake.set()

    async def _wait(self, seconds: float) -> None:
        """Until something stirs, or the session's clock is due."""
        await wait_event(self._wake, max(MIN_WAIT, seconds))

    def _now(self) -> ClockReading:
        return ClockReading(self._world.monotonic(), self._world.wall() // 1_000_000)


async def wait_event(event: trio.Event, seconds: float) -> None:
    """Return when it is set, after so many seconds at the latest."""
    with trio.move_on_after(max(0.0, seconds)):
        await event.wait()


def _single_failure(group: BaseExceptionGroup[BaseException]) -> Exception:
    """The failure of a connection: a fault before the broken pipe that follows from it.

    Cancellation, and groups with more than one real failure, are re-raised unchanged.
    """
    _, fatal = group.split(Exception)
    if fatal is not None:
        raise fatal
    found = list(_leaves(group))
    chosen = [error for error in found if not isinstance(error, TransportError)] or found[:1]
    if len(chosen) > 1:
        raise group
    return chosen[0]


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        elif isinstance(error, Exception):
            yield error
