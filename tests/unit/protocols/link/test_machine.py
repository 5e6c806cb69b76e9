"""Two ends, real durable state, and everything that can happen in between.

Hypothesis drives: messages in both outboxes, frames one by one over a pipe that delays, repeats,
moves, alters, loses and cuts, effects that are applied before or after a crash, restarts of
either side from its durable state. Checked all the time: nothing is applied twice, nothing out of
order, nothing invented; and after a healing end, nothing durable is lost but what was let go.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocols.link.errors import LinkError
from protocols.link.messages import Direction, Message
from protocols.link.session import LinkSession, SessionConfig
from protocols.link.session_events import (
    MessageReceived,
    MessagesAcknowledged,
    MessagesSkipped,
    SessionEvent,
)
from protocols.link.vocabulary import ByeReason, SkipReason
from protocols.link_transport.memory import MemoryInbox, MemoryOutbox
from tests.unit.protocols.link.duet import (
    DOWN,
    UP,
    agent_end,
    alert,
    at,
    command,
    control_end,
    fixed,
    heartbeat,
    metrics,
)

SIDES = (Direction.TO_CONTROL, Direction.TO_AGENT)
HARMS = ("cut", "overlap", "repeat", "move", "lose", "flip")
side = st.sampled_from(SIDES)


def run(fn, *args):  # type: ignore[no-untyped-def]
    """The result of an async call that does not wait, without the cost of an event loop."""
    try:
        fn(*args).send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a fake store does not wait")


@dataclass
class Side:
    """One end: what survives a crash, and what does not."""

    out: Direction
    outbox: MemoryOutbox
    inbox: MemoryInbox = field(default_factory=MemoryInbox)
    session: LinkSession | None = None
    wire: deque[bytes] = field(default_factory=deque)
    """Frames on their way to the other."""
    todo: deque[SessionEvent] = field(default_factory=deque)
    """Events that are not handled yet."""
    written: dict[int, Message] = field(default_factory=dict)
    """All that was ever appended."""
    missed: set[int] = field(default_factory=set)

    def end(self, nonce: int) -> SessionConfig:
        """What the owner brings to a new session, read from what survived."""
        make = agent_end if self.out is Direction.TO_CONTROL else control_end
        base = make(run(self.outbox.state), run(self.inbox.cursor))
        return SessionConfig(
            channel=base.channel,
            signer=base.signer,
            verifier=base.verifier,
            nonce=fixed(f"{self.out} {nonce}"),
            outbox=base.outbox,
            cursor=base.cursor,
        )

    def crash(self) -> None:
        """Only outbox and inbox are left."""
        self.session = None
        self.wire.clear()
        self.todo.clear()


class Link(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = {
            Direction.TO_CONTROL: Side(Direction.TO_CONTROL, MemoryOutbox(UP, bound=2000)),
            Direction.TO_AGENT: Side(Direction.TO_AGENT, MemoryOutbox(DOWN)),
        }
        self.count = 0
        self.now = 0.0
        self.connect()

    # --- the world ---

    def connect(self) -> None:
        """A new connection: two fresh sessions, nothing on the wire."""
        for each in self.sides.values():
            each.crash()
        self.count += 1
        agent, control = self.sides[SIDES[0]], self.sides[SIDES[1]]
        agent.session = LinkSession.agent(agent.end(self.count), at(self.now))
        control.session = LinkSession.control(control.end(self.count), at(self.now))

    @rule(from_=side, kinds=st.lists(st.sampled_from([alert, metrics]), min_size=1, max_size=8))
    def append(self, from_: Direction, kinds: list[Callable[[int], Message]]) -> None:
        """Things happen that the other must know."""
        each = self.sides[from_]
        for kind in kinds:
            self.count += 1
            message = (kind if from_ is Direction.TO_CONTROL else command)(self.count)
            each.written[run(each.outbox.append, message)] = message

    @rule(rounds=st.integers(1, 4), events=st.sampled_from([0, 1, 3, 20]))
    def flow(self, rounds: int, events: int) -> None:
        """The link works for a while; owners may lag behind with what they apply."""
        for _ in range(rounds):
            for each in SIDES:
                self.write(each)
            for each in SIDES:
                self.carry(each, 1000)
                self.apply(each, events)

    @rule(from_=side)
    def write(self, from_: Direction) -> None:
        """The owner fills the window and writes what is due."""
        each = self.sides[from_]
        if (session := each.session) is None:
            return
        if session.window_room:
            session.send_batch(run(each.outbox.read, session.last_sent, session.window_room))
        each.wire.extend(session.take_frames(at(self.now)))

    @rule(from_=side)
    def chat(self, from_: Direction) -> None:
        """An ephemeral message among the durable ones."""
        session = self.sides[from_].session
        if session is not None and from_ is Direction.TO_CONTROL and session.window_room:
            session.send_message(heartbeat())

    @rule(to=side, frames=st.integers(1, 5))
    def carry(self, to: Direction, frames: int) -> None:
        """Frames arrive, whole and in order."""
        sink, source = self.sides[to], self.sides[to.opposite]
        for _ in range(frames):
            if source.wire:
                self.deliver(sink, source.wire.popleft())

    def deliver(self, sink: Side, frame: bytes) -> None:
        """A faulty frame cuts the connection; anything but a typed error fails the test."""
        if sink.session is None or sink.session.is_ended:
            return
        try:
            sink.todo.extend(sink.session.receive_frame(frame, at(self.now)))
        except LinkError:
            self.connect()

    @rule(to=side, events=st.integers(1, 5))
    def apply(self, to: Direction, events: int) -> None:
        """The owner handles events."""
        each = self.sides[to]
        for _ in range(events):
            if each.todo:
                self.handle(each, each.todo.popleft())

    def handle(self, each: Side, event: SessionEvent) -> None:
        """As the docstring of `session` shows it."""
        session = each.session
        assert session is not None
        match event:
            case MessageReceived(id=id_, message=message) if id_:
                run(each.inbox.apply, session.peer_stream, id_, message)
                session.mark_applied(id_)
            case MessagesSkipped(first=first, last=last, reason=reason):
                assert reason is SkipReason.DROPPED
                each.missed |= set(range(first, last + 1))
                run(each.inbox.apply, session.peer_stream, last, None)
                session.mark_applied(last)
            case MessagesAcknowledged(through=through):
                run(each.outbox.acknowledge, through)

    # --- faults ---

    @rule(of=side, at_=st.integers(0, 9), how=st.sampled_from(HARMS))
    def harm(self, of: Direction, at_: int, how: str) -> None:
        """One thing goes wrong. A cut and a crash are the same: only what is durable comes back."""
        match how:
            case "cut":
                self.connect()
            case "overlap":
                self.overlap(of)
            case _:
                self.corrupt(of, at_, how)

    def overlap(self, of: Direction) -> None:
        """A new session begins while the old one's owner is still applying what had come."""
        each = self.sides[of]
        old, late = each.session, [e for e in each.todo if isinstance(e, MessageReceived) and e.id]
        self.connect()
        for event in late if old is not None else []:
            run(each.inbox.apply, old.peer_stream, event.id, event.message)

    def corrupt(self, from_: Direction, at_: int, how: str) -> None:
        """The network does what it must not do: the session must notice, or it does not matter."""
        wire = self.sides[from_].wire
        if not wire:
            return
        at_ %= len(wire)
        frame = wire[at_]
        match how:
            case "repeat":
                wire.insert(at_, frame)
            case "move":
                wire.rotate(1)
            case "lose":
                del wire[at_]
            case "flip":
                wire[at_] = frame[:-1] + bytes([frame[-1] ^ 1])

    @rule(seconds=st.sampled_from([1.0, 9.0, 12.0]))
    def wait(self, seconds: float) -> None:
        """Time passes; silence ends sessions."""
        self.now += seconds
        for each in self.sides.values():
            try:
                if each.session is not None and not each.session.is_ended:
                    each.session.tick(at(self.now))
            except LinkError:
                self.connect()
                return

    @rule(from_=side)
    @precondition(lambda self: self.count % 3 == 0)
    def leave(self, from_: Direction) -> None:
        """One side ends the session in order."""
        session = self.sides[from_].session
        if session is not None and not session.is_ended:
            session.send_bye(ByeReason.RESTART, at(self.now))
        if all(each.session is None or each.session.is_ended for each in self.sides.values()):
            self.connect()

    # --- what must hold ---

    @invariant()
    def once_in_order_and_true(self) -> None:
        """Each id at most once, in order, exactly as it was written; gaps only where told."""
        for to in SIDES:
            receiver, sender = self.sides[to], self.sides[to.opposite]
            ids = [id_ for id_, _ in receiver.inbox.applied]
            assert ids == sorted(set(ids))
            assert all(sender.written[id_] == message for id_, message in receiver.inbox.applied)
            dropped = {entry.id for entry in sender.outbox.dropped}
            through = set(range(1, receiver.inbox.through + 1))
            assert through - set(ids) <= dropped & receiver.missed

    @invariant()
    def nothing_is_forgotten_before_it_is_applied(self) -> None:
        """An outbox lets go only what the other has applied, or what may be dropped."""
        for to in SIDES:
            receiver, sender = self.sides[to], self.sides[to.opposite]
            assert sender.outbox.acknowledged <= receiver.inbox.through

    def teardown(self) -> None:
        """The network heals: everything arrives, and the sessions become live."""
        self.connect()
        self.flow(20, 1000)
        self.once_in_order_and_true()
        for to in SIDES:
            receiver, sender = self.sides[to], self.sides[to.opposite]
            applied = {id_ for id_, _ in receiver.inbox.applied}
            dropped = {entry.id for entry in sender.outbox.dropped}
            assert applied | dropped == set(sender.written)
            assert all(
                id_ not in dropped or id_ in applied or id_ in receiver.missed
                for id_ in sender.written
            )
            assert sender.outbox.entries == []


TestLink = Link.TestCase
TestLink.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
