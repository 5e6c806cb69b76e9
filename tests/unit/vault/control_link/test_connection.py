"""One session: what comes is applied, what is owed is sent, nothing before it is recorded."""

from collections.abc import Callable

import pytest
import trio

from protocols.link import messages as m
from protocols.link.errors import Fault, LinkError, RemoteFaultError, TransportError
from protocols.link.limits import WINDOW
from protocols.link.vocabulary import ByeReason
from protocols.link_transport.memory import MemoryInbox, MemoryOutbox
from tests.support.trio_world import TrioWorld
from tests.unit.vault.control_link.plane import Plane
from tests.unit.vault.control_link.samples import (
    AGENT_KEY,
    CONTROL_KEY,
    CONTROL_LEAF,
    credential,
    fixed,
)
from tests.unit.vault.control_link.scene import ListEgress
from tests.unit.vault.control_link.test_message_merge import ALERT
from vault.control_link.connection import (
    INITIAL_WINDOW,
    REPLAY_QUERIES_PER_MINUTE,
    LinkConnection,
    wait_event,
)
from vault.control_link.egress_chain import EgressStream
from vault.errors import UnavailableError


class Told:
    """An owner that writes down what it is told."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def on_opened(self, _conversation: LinkConnection) -> None:
        """See `Owner`."""
        self.words.append("opened")

    def on_caught_up(self) -> None:
        """See `Owner`."""
        self.words.append("caught up")

    def on_observed(self) -> None:
        """See `Owner`."""
        self.words.append("observed")

    def on_replay_query(self, question: m.PolicyReplay) -> None:
        """See `Owner`."""
        self.words.append(f"asked {question.replay_id[0]}")

    async def on_acknowledged(self) -> None:
        """See `Owner`."""
        self.words.append("acknowledged")

    async def on_data_loss(self) -> None:
        """See `Owner`."""
        self.words.append("lost")

    def on_stalled(self) -> None:
        """See `Owner`."""
        self.words.append("stalled")

    def on_resumed(self) -> None:
        """See `Owner`."""
        self.words.append("flowing")


class Line:
    """An agent's end of a session with a plane."""

    def __init__(self, plane: Plane) -> None:
        self.plane, self.told, self.egress = plane, Told(), ListEgress()
        self.outbox: MemoryOutbox = MemoryOutbox(fixed("agent stream"))
        self.inbox = MemoryInbox()

    async def talk(self, nursery: trio.Nursery) -> LinkConnection:
        """A conversation that is not running yet."""
        from protocols.link.handshake import ChannelBinding
        from protocols.link.session import SessionConfig
        from protocols.link.signing import Verifier, sha256

        held = credential(self.plane.world)
        channel = ChannelBinding(
            org="acme",
            vault="prod",
            agent_certificate=held.fingerprint,
            control_certificate=sha256(CONTROL_LEAF),
        )
        end = SessionConfig(
            channel=channel,
            signer=AGENT_KEY,
            verifier=Verifier([CONTROL_KEY.public]),
            nonce=fixed("nonce"),
            outbox=await self.outbox.state(),
            cursor=await self.inbox.cursor(),
        )
        return LinkConnection(
            pipe=await self.plane.dial(nursery, held),
            config=end,
            outbox=self.outbox,
            inbox=self.inbox,
            egress=self.egress,
            stream=EgressStream(kind="frame", peer="", path="", connection="c"),
            observer=self.told,
            world=self.plane.world,
        )

    async def failing(self) -> Exception:
        """What a whole conversation fails of."""
        async with trio.open_nursery() as nursery:
            conversation = await self.talk(nursery)
            with pytest.raises((LinkError, UnavailableError)) as caught:
                await conversation.run()
            nursery.cancel_scope.cancel()
        return caught.value


@pytest.fixture
def line() -> Line:
    """A line to an honest plane."""
    return Line(Plane(TrioWorld()))


async def test_both_ways_and_an_orderly_end(line: Line, autojump_clock: object) -> None:
    """What waits on either side arrives; leaving ends both without a fault."""
    await line.outbox.append(ALERT)
    await line.plane.outbox.append(m.PolicyUpdate(bundle=b"b" * 65))
    async with trio.open_nursery() as nursery:
        conversation = await line.talk(nursery)
        nursery.start_soon(conversation.run)
        await line.plane.until(lambda: not line.outbox.entries and not line.plane.outbox.entries)
        await trio.sleep(100)
        assert conversation.is_live
        conversation.leave(ByeReason.SHUTDOWN)
    assert line.plane.applied == [ALERT]
    assert [message for _, message in line.inbox.applied] == [m.PolicyUpdate(bundle=b"b" * 65)]
    assert line.told.words == ["opened", "acknowledged", "caught up"]
    assert conversation.session.is_ended
    conversation.send(m.Ping(number=1))  # nothing happens any more


async def test_more_questions_than_a_minute_may_have_end_the_session(
    line: Line, autojump_clock: object
) -> None:
    """Each is answered, so each is said: after so many it is the peer's fault."""

    async def ask() -> None:
        await line.plane.until(lambda: "opened" in line.told.words)
        assert line.plane.session is not None
        for number in range(REPLAY_QUERIES_PER_MINUTE + 1):
            asked = m.PolicyReplay(
                replay_id=fixed(str(number)), rules=(b"{}",), since=1, until=2, expires_at=3
            )
            line.plane.session.send_message(asked)
        line.plane._stir.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        failure = await line.failing()
    assert isinstance(failure, RemoteFaultError)
    assert failure.fault is Fault.FLOOD
    assert sum(word.startswith("asked") for word in line.told.words) == REPLAY_QUERIES_PER_MINUTE


async def test_who_acknowledges_nothing_hears_the_first_few_alone(
    line: Line, autojump_clock: object
) -> None:
    """In each session: not a window of them, again and again."""
    line.plane.deaf = True
    for _ in range(WINDOW):
        await line.outbox.append(ALERT)
    async with trio.open_nursery() as nursery:
        conversation = await line.talk(nursery)
        nursery.start_soon(conversation.run)
        await trio.sleep(20)
        assert conversation.session.last_sent == INITIAL_WINDOW
        nursery.cancel_scope.cancel()


async def test_more_than_a_window_goes_without_another_word(
    line: Line, autojump_clock: object
) -> None:
    """What has no room now follows as the peer acknowledges."""
    async with trio.open_nursery() as nursery:
        conversation = await line.talk(nursery)
        nursery.start_soon(conversation.run)
        await line.plane.until(lambda: conversation.is_live)
        for _ in range(3 * WINDOW):
            await line.outbox.append(ALERT)
        conversation.notify_outbox()
        await line.plane.until(lambda: not line.outbox.entries)
        nursery.cancel_scope.cancel()
    assert len(line.plane.applied) == 3 * WINDOW


async def test_nothing_is_sent_that_could_not_be_recorded(
    line: Line, autojump_clock: object
) -> None:
    """Not even a greeting."""
    line.egress.fail = UnavailableError("egress_unavailable", "full")
    assert isinstance(await line.failing(), UnavailableError)
    assert line.plane.wire == []


FORGERIES: dict[str, tuple[Callable[[bytes], bytes], Fault]] = {
    "signature": (lambda frame: frame[:-1] + bytes([frame[-1] ^ 1]), Fault.SIGNATURE),
    "size": (lambda _: b"x", Fault.FRAME_SIZE),
}


@pytest.mark.parametrize("how", FORGERIES)
async def test_a_forged_frame_ends_the_session(
    line: Line, autojump_clock: object, how: str
) -> None:
    """Nothing of it is taken; the peer is told the fault's word."""
    line.plane.tamper, fault = FORGERIES[how]
    await line.plane.outbox.append(m.PolicyUpdate(bundle=b"b" * 65))
    failure = await line.failing()
    assert isinstance(failure, RemoteFaultError)
    assert failure.fault is fault
    assert line.inbox.applied == []


async def test_a_repeated_frame_ends_the_session(line: Line, autojump_clock: object) -> None:
    """A replay is out of sequence."""
    seen: list[bytes] = []

    def repeat(frame: bytes) -> bytes:
        seen.append(frame)
        return seen[1] if len(seen) > 2 else frame

    line.plane.tamper = repeat
    for number in range(3):
        await line.plane.outbox.append(m.PolicyUpdate(bundle=bytes([number]) * 65))
    failure = await line.failing()
    assert isinstance(failure, RemoteFaultError)
    assert len(line.inbox.applied) <= 1


async def test_a_peer_that_falls_silent_is_given_up(line: Line, autojump_clock: object) -> None:
    """Whatever its connection looks like."""

    async def silent(_pipe: object, _leaf: bytes) -> None:
        await trio.sleep_forever()

    line.plane.serve = silent  # type: ignore[method-assign]  # a black hole
    began = trio.current_time()
    failure = await line.failing()
    assert isinstance(failure, RemoteFaultError)
    assert failure.fault is Fault.TIMEOUT
    assert trio.current_time() - began < 31


async def test_a_lost_connection_is_told_as_such(line: Line, autojump_clock: object) -> None:
    """So that it is made anew."""

    async def gone(pipe: object, _leaf: bytes) -> None:
        await pipe.aclose()  # type: ignore[attr-defined]  # a memory pipe

    line.plane.serve = gone  # type: ignore[method-assign]  # it hangs up
    assert isinstance(await line.failing(), TransportError)


async def test_a_peer_that_lost_what_it_had_is_noticed(line: Line, autojump_clock: object) -> None:
    """Our cursor is of its stream's past: what it has acknowledged and lost is told."""
    line.plane.outbox.newest = line.plane.outbox.acknowledged = 5
    async with trio.open_nursery() as nursery:
        conversation = await line.talk(nursery)
        nursery.start_soon(conversation.run)
        await trio.sleep(1)
        assert "lost" in line.told.words
        nursery.cancel_scope.cancel()


async def test_what_is_waited_for_has_an_end(autojump_clock: object) -> None:
    """A wait ends when its event is set, after its seconds otherwise, at once if there are none."""
    event, began = trio.Event(), trio.current_time()
    for seconds, passed in ((5, 5), (-1, 5)):
        await wait_event(event, seconds)
        assert trio.current_time() - began == passed
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_event, event, 1e9)
        await trio.sleep(2)
        event.set()
    assert trio.current_time() - began == 7
