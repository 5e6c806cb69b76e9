"""The intake: in order, no faster than it may be, and no more than there is room for."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from protocols.link import messages as m
from protocols.link.errors import InboxFullError
from protocols.link.messages import Message
from protocols.link.session_events import MessageReceived, MessagesSkipped
from protocols.link.vocabulary import SkipReason
from protocols.link_transport.memory import MemoryInbox
from tests.unit.vault.control_link.samples import TrioWorld, fixed
from tests.unit.vault.control_link.test_inbox import command, notification
from vault.control_link.connection import (
    COSIGNATURES_PER_MINUTE,
    MAX_BURST,
    REQUESTS_PER_MINUTE,
    STALL_TIMEOUT,
    IntakeItem,
    IntakeQueue,
    IntakeRates,
)

STREAM = fixed("stream")


class Narrow(MemoryInbox):
    """Has so much room."""

    room = 10**6

    async def apply(self, stream: bytes, through: int, message: Message | None) -> bool:
        """See `Inbox`."""
        if isinstance(message, m.Command):
            if not self.room:
                raise InboxFullError("full")
            self.room -= 1
        return await super().apply(stream, through, message)


class Desk:
    """An intake and what it says."""

    def __init__(self) -> None:
        self.inbox = Narrow()
        self.world = TrioWorld()
        self.words: list[str] = []
        self.applied: list[int] = []
        self.paces = IntakeRates.unused(self.world.monotonic())
        self.intake = self.session()

    def session(self) -> IntakeQueue:
        """That of another session."""

        async def applied(item: IntakeItem) -> None:
            self.applied.append(item.id if isinstance(item, MessageReceived) else item.last)
            await trio.lowlevel.checkpoint()

        return IntakeQueue(
            inbox=self.inbox,
            rates=self.paces,
            world=self.world,
            on_applied=applied,
            on_stalled=lambda: self.words.append("stalled"),
            on_resumed=lambda: self.words.append("flowing"),
        )

    async def come(self, first: int, last: int, *, cosigned: bool = False) -> None:
        """These ids, by commands."""
        line = m.CheckpointCosignature(size=1, root=bytes(32), cosignature="— w A==\n")
        for id_ in range(first, last + 1):
            await self.intake.receive(
                STREAM, MessageReceived(id_, line if cosigned else command(id_))
            )


@pytest.fixture
async def desk() -> Desk:
    """One with all the room there is."""
    return Desk()


@contextmanager
def running(desk: Desk, nursery: trio.Nursery) -> Iterator[None]:
    """Its task, for the block."""
    nursery.start_soon(desk.intake.run)
    yield
    nursery.cancel_scope.cancel()


async def test_what_may_come_is_applied_at_once(desk: Desk, autojump_clock: object) -> None:
    """Nobody's turn is waited for."""
    await desk.come(1, MAX_BURST)
    assert desk.applied == list(range(1, MAX_BURST + 1))


async def test_without_room_all_waits_in_its_order(desk: Desk, autojump_clock: object) -> None:
    """Also what would have room, and what never comes; then each is applied once."""
    desk.inbox.room = 2
    async with trio.open_nursery() as nursery:
        with running(desk, nursery):
            await desk.come(1, 4)
            await desk.intake.receive(STREAM, MessageReceived(5, notification(5)))
            await desk.intake.receive(STREAM, MessagesSkipped(6, 8, SkipReason.DROPPED))
            await trio.testing.wait_all_tasks_blocked()
            assert desk.applied == [1, 2]
            assert desk.inbox.through == 2
            desk.inbox.room = 1
            desk.intake.notify_room()
            await trio.testing.wait_all_tasks_blocked()
            assert desk.applied == [1, 2, 3]
            desk.inbox.room = 10
            desk.intake.notify_room()
            await desk.come(9, 9)
            await trio.testing.wait_all_tasks_blocked()
            assert desk.applied == [1, 2, 3, 4, 5, 8, 9]
    assert desk.words == []


async def test_somebody_is_told_that_there_is_no_room_for_long(
    desk: Desk, autojump_clock: object
) -> None:
    """Once, and again when it is over; a wait that moves on is none."""
    desk.inbox.room = 0
    async with trio.open_nursery() as nursery:
        with running(desk, nursery):
            await desk.come(1, 3)
            await trio.sleep(STALL_TIMEOUT - 1)
            assert desk.words == []
            desk.inbox.room = 1
            desk.intake.notify_room()
            await trio.sleep(STALL_TIMEOUT - 1)
            assert desk.words == []
            await trio.sleep(5 * STALL_TIMEOUT)
            assert desk.words == ["stalled"]
            desk.inbox.room = 2
            desk.intake.notify_room()
            await trio.sleep(1)
    assert desk.words == ["stalled", "flowing"]


async def test_they_come_no_faster_than_they_may(desk: Desk, autojump_clock: object) -> None:
    """So many at once, then so many a minute, over all sessions."""
    async with trio.open_nursery() as nursery:
        with running(desk, nursery):
            await desk.come(1, MAX_BURST + REQUESTS_PER_MINUTE + 5)
            await trio.sleep(30.1)
            assert len(desk.applied) == MAX_BURST + REQUESTS_PER_MINUTE // 2
            await trio.sleep(30)
            assert len(desk.applied) == MAX_BURST + REQUESTS_PER_MINUTE
    desk.intake = desk.session()
    await desk.come(len(desk.applied) + 1, len(desk.applied) + 9)
    assert len(desk.applied) == MAX_BURST + REQUESTS_PER_MINUTE
    assert desk.words == []


async def test_cosignatures_have_their_own_pace(desk: Desk, autojump_clock: object) -> None:
    """They answer what the agent says; they are bounded all the same."""
    async with trio.open_nursery() as nursery:
        with running(desk, nursery):
            await desk.come(1, MAX_BURST)
            await desk.come(
                MAX_BURST + 1, 2 * MAX_BURST + COSIGNATURES_PER_MINUTE + 5, cosigned=True
            )
            await trio.sleep(60.1)
            assert len(desk.applied) == 2 * MAX_BURST + COSIGNATURES_PER_MINUTE
