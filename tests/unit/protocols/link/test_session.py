"""A session, both ends of it: talking, keeping time, ending; test_session_faults has the rest."""

from dataclasses import replace

import pytest

from protocols.link import messages as m
from protocols.link.codec import decode
from protocols.link.delivery import Batch, OutboxState
from protocols.link.envelope import Envelope
from protocols.link.errors import Fault, LocalFaultError, RemoteFaultError
from protocols.link.events import Acknowledged, CaughtUp, Leaving, Missed, Opened, Received
from protocols.link.limits import MAX_QUEUED, PINGS_A_MINUTE, WINDOW
from protocols.link.messages import Direction
from protocols.link.session import Session
from protocols.link.states import State
from protocols.link.vocabulary import ByeReason, SkipReason
from tests.unit.protocols.link.duet import (
    DOWN,
    UP,
    Duet,
    agent_end,
    alert,
    at,
    batch,
    command,
    control_end,
    heartbeat,
    metrics,
    refusal,
    said,
)
from tests.unit.protocols.link.test_policy_replay import ASKED, FOUND

UPWARDS, DOWNWARDS = Direction.TO_CONTROL, Direction.TO_AGENT


# --- talking --------------------------------------------------------------------------------------


def test_durable_messages_are_delivered_applied_and_acknowledged():
    """Acknowledged is only what the owner has called applied."""
    duet = Duet.live()
    duet.agent.offer(batch(0, alert(1), metrics(2)))
    duet.pump()
    assert duet.heard[UPWARDS] == [Received(1, alert(1)), Received(2, metrics(2))]
    assert duet.heard[DOWNWARDS] == []
    duet.control.applied(1)
    duet.pump()
    assert duet.heard[DOWNWARDS] == [Acknowledged(1)]
    assert duet.agent.sent == 2
    assert duet.control.peer_stream == UP


def test_acknowledgements_ride_on_what_goes_anyway():
    """No frame of its own when another one is due, and none when there is nothing to tell."""
    duet = Duet.live()
    duet.agent.offer(batch(0, alert(1)))
    duet.pump()
    duet.control.applied(1)
    duet.control.offer(batch(0, command(1)))
    assert len(duet.control.frames(at(0))) == 1
    assert duet.control.frames(at(0)) == []


def test_ephemeral_messages_need_no_outbox():
    """They come with id 0."""
    duet = Duet.live()
    duet.agent.send(heartbeat(4))
    duet.pump()
    assert duet.heard[UPWARDS] == [Received(0, heartbeat(4))]


def test_what_waited_is_sent_before_the_session_counts_as_live():
    """Live means: caught up, both ways."""
    duet = Duet.of(agent_end(OutboxState(UP, 2, 0)), control_end(OutboxState(DOWN, 1, 0)))
    duet.pump()
    assert duet.agent.state is duet.control.state is State.SYNCING
    duet.agent.offer(batch(0, alert(1), alert(2)))
    duet.control.offer(batch(0, command(1)))
    duet.pump()
    assert duet.control.applied(2) == []
    duet.pump()
    assert duet.agent.state is State.SYNCING
    assert duet.agent.applied(1) == [CaughtUp()]
    duet.pump()
    assert duet.heard[UPWARDS][-2:] == [Acknowledged(1), CaughtUp()]
    assert duet.control.state is State.LIVE


def test_a_cursor_ahead_of_our_record_is_an_acknowledgement():
    """The acknowledgement that was cut off comes with the next greeting."""
    duet = Duet.of(
        agent_end(OutboxState(UP, 5, 2), m.Cursor(stream=DOWN, applied=3)),
        control_end(OutboxState(DOWN, 3, 1), m.Cursor(stream=UP, applied=4)),
    )
    duet.pump()
    assert duet.heard[DOWNWARDS] == [Opened(duet.agent.id), Acknowledged(4)]
    assert duet.heard[UPWARDS] == [Opened(duet.agent.id), Acknowledged(3)]


def test_missing_ids_come_as_an_event_of_their_own():
    """A receiver can tell dropped metrics from what it has lost itself."""
    duet = Duet.of(agent_end(OutboxState(UP, 5, 2)))
    duet.pump()
    duet.agent.offer(Batch(0, 5, (batch(4, alert(5)).entries[0],)))
    duet.pump()
    assert duet.heard[UPWARDS][1:] == [
        Missed(1, 2, SkipReason.ACKNOWLEDGED),
        Missed(3, 4, SkipReason.DROPPED),
        Received(5, alert(5)),
    ]
    duet.control.applied(5)
    duet.pump()
    assert duet.agent.state is State.LIVE


def test_the_window_is_what_the_owner_sees_as_room():
    """An owner that reads `room` entries never has one too many."""
    duet = Duet.live()
    assert duet.agent.room == WINDOW
    duet.agent.offer(batch(0, *[alert(n) for n in range(1, 80)]))
    assert duet.agent.room == 0
    duet.pump()
    assert len(duet.heard[UPWARDS]) == WINDOW
    duet.control.applied(10)
    duet.pump()
    assert duet.agent.room == 10


@pytest.mark.parametrize(
    "message", [alert(), command(), m.Ping(number=1), m.Ack(), m.Cursor(stream=UP, applied=1)]
)
def test_what_is_not_ours_to_send_is_our_bug(message: m.Message):
    """Durable, the peer's, the protocol's own or none at all: nothing is queued."""
    duet = Duet.live()
    with pytest.raises(LocalFaultError):
        duet.agent.send(message)
    with pytest.raises(LocalFaultError):
        duet.control.send(heartbeat())
    assert duet.agent.frames(at(0)) == []


def test_a_writer_that_stands_still_is_our_bug():
    """The queue for the writer is bounded."""
    duet = Duet.live()
    for n in range(MAX_QUEUED + 1):
        duet.agent.send(heartbeat(n))
    with pytest.raises(LocalFaultError, match="nobody writes"):
        duet.agent.send(heartbeat())


# --- time -----------------------------------------------------------------------------------------


def test_a_quiet_peer_is_pinged_and_its_answer_keeps_it():
    """10 seconds of silence make a ping; the answer is measured and silence begins anew."""
    duet = Duet.live()
    assert duet.agent.deadline == at(10).monotonic
    duet.agent.tick(at(9.9))
    assert duet.agent.frames(at(9.9)) == []
    duet.agent.tick(at(10))
    for frame in duet.agent.frames(at(10)):
        duet.control.receive(frame, at(10.2))
    for frame in duet.control.frames(at(10.2)):
        duet.agent.receive(frame, at(10.4))
    assert duet.agent.round_trip == pytest.approx(0.4)
    assert duet.agent.deadline == at(20.4).monotonic


def test_on_a_quiet_link_one_side_asks():
    """The agent's ping comes before the control plane would send its own; alone, it asks at 12."""
    duet = Duet.live()
    assert duet.control.deadline == at(12).monotonic
    duet.agent.tick(at(10))
    for frame in duet.agent.frames(at(10)):
        duet.control.receive(frame, at(10.1))
    assert duet.control.deadline == at(22.1).monotonic
    duet.control.tick(at(12))
    assert len(duet.control.frames(at(12))) == 1  # the pong alone


def test_a_silent_peer_is_dead_after_thirty_seconds():
    """Pings go out at 10 and 20 seconds; then it is over, whatever TCP believes."""
    duet = Duet.live()
    sent = []
    for second in (10, 20):
        duet.agent.tick(at(second))
        sent += duet.agent.frames(at(second))
    assert len(sent) == 2
    assert duet.agent.deadline == at(30).monotonic
    with pytest.raises(RemoteFaultError) as caught:
        duet.agent.tick(at(30))
    assert caught.value.fault is Fault.TIMEOUT
    assert duet.agent.ended
    assert duet.agent.deadline == float("inf")


def test_pings_keep_the_pace_of_an_ends_patience():
    """Whoever waits 3 seconds for the dead asks after 1, the control plane after 1.2."""
    duet = Duet.live(replace(agent_end(), dead=3.0), replace(control_end(), dead=3.0))
    assert duet.agent.deadline == pytest.approx(at(1).monotonic)
    assert duet.control.deadline == pytest.approx(at(1.2).monotonic)
    duet.agent.tick(at(2))
    duet.agent.frames(at(2))
    with pytest.raises(RemoteFaultError) as caught:
        duet.agent.tick(at(3))
    assert caught.value.fault is Fault.TIMEOUT


def test_a_flood_of_pings_costs_one_answer():
    """Only the newest is answered, and one more than a minute may have ends the session."""
    duet = Duet.live()
    duet.agent.send(heartbeat())
    frame = duet.agent.frames(at(0))[0]
    seq = decode(frame[64:], Envelope).seq
    for n in range(PINGS_A_MINUTE):
        ping = said(frame, m.Ping(number=n), UPWARDS, seq=seq + n)
        assert duet.control.receive(ping, at(0)) == []
    answers = duet.control.frames(at(0))
    assert len(answers) == 1
    answer = decode(bytes(decode(answers[0][64:], Envelope).payload), m.Pong)
    assert answer.number == PINGS_A_MINUTE - 1
    for seconds in (0.1, 60.0 / PINGS_A_MINUTE):  # the second is paid for by the time that passed
        duet = Duet.live()
        duet.agent.send(heartbeat())
        frame = duet.agent.frames(at(0))[0]
        seq = decode(frame[64:], Envelope).seq
        for n in range(PINGS_A_MINUTE):
            duet.control.receive(said(frame, m.Ping(number=n), UPWARDS, seq=seq + n), at(0))
        late = said(frame, m.Ping(number=9999), UPWARDS, seq=seq + PINGS_A_MINUTE)
        if seconds == 0.1:
            assert refusal(duet.control, late, seconds) is Fault.FLOOD
        else:
            assert duet.control.receive(late, at(seconds)) == []


@pytest.mark.parametrize(
    "session", [Session.agent(agent_end(), at(0)), Session.control(control_end(), at(0))]
)
def test_a_peer_that_does_not_greet_is_given_up(session: Session):
    """After 10 seconds."""
    session.tick(at(9.9))
    with pytest.raises(RemoteFaultError) as caught:
        session.tick(at(10))
    assert caught.value.fault is Fault.TIMEOUT


# --- ending ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["agent", "control"])
@pytest.mark.parametrize("what", [0, 3])
def test_a_session_ends_in_order_with_nothing_on_its_way(who: str, what: int):
    """Both say goodbye, and what was sent before is still applied and acknowledged."""
    duet = Duet.live()
    duet.agent.offer(batch(0, *[alert(n) for n in range(1, what + 1)]))
    leaver: Session = getattr(duet, who)
    leaver.leave(ByeReason.RESTART, at(1), spread=5000)
    leaver.leave(ByeReason.RESTART, at(1))
    assert leaver.room == 0
    duet.pump(1)
    other = duet.heard[UPWARDS if who == "agent" else DOWNWARDS]
    assert Leaving(ByeReason.RESTART, 5000) in other
    if what:
        assert not duet.agent.ended
        duet.control.applied(what)
        duet.pump(1)
        assert Acknowledged(what) in duet.heard[DOWNWARDS]
    assert duet.agent.ended
    assert duet.control.ended


def test_a_goodbye_that_is_not_answered_ends_too():
    """After 5 seconds, without a fault."""
    duet = Duet.live()
    duet.agent.leave(ByeReason.SHUTDOWN, at(1))
    duet.agent.tick(at(5.9))
    assert not duet.agent.ended
    duet.agent.tick(at(6))
    assert duet.agent.ended


def test_after_its_goodbye_a_peer_begins_nothing():
    """Acknowledgements and pings only."""
    duet = Duet.live()
    duet.agent.leave(ByeReason.SHUTDOWN, at(0))
    bye = duet.agent.frames(at(0))[0]
    duet.control.offer(batch(0, command()))
    duet.control.receive(bye, at(0))
    seq = decode(bye[64:], Envelope).seq
    duet.control.receive(said(bye, m.Ack(), UPWARDS, seq=seq + 1), at(0))
    assert refusal(duet.control, said(bye, heartbeat(), UPWARDS, seq=seq + 2)) is Fault.STATE


def test_leaving_before_the_greeting_just_closes():
    """There is nobody to say goodbye to."""
    session = Session.control(control_end(), at(0))
    session.leave(ByeReason.SHUTDOWN, at(0))
    assert session.ended
    with pytest.raises(LocalFaultError):
        _ = session.peer_stream


# --- versions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("agent", "control"), [((1,), (1, 2)), ((1, 2), (1,))])
def test_an_older_peer_is_talked_with_in_its_version(
    agent: tuple[int, ...], control: tuple[int, ...]
):
    """All that it knows goes both ways; what it does not know cannot be sent to it."""
    duet = Duet.live(replace(agent_end(), versions=agent), replace(control_end(), versions=control))
    assert duet.agent.version == duet.control.version == 1
    with pytest.raises(LocalFaultError, match="has no policy_replay"):
        duet.control.send(ASKED)
    with pytest.raises(LocalFaultError, match="has no replay_result"):
        duet.agent.send(FOUND)
    duet.agent.offer(batch(0, alert(1)))
    duet.control.offer(batch(0, command(1)))
    duet.pump()
    assert duet.heard[UPWARDS] == [Received(1, alert(1))]
    assert duet.heard[DOWNWARDS] == [Received(1, command(1))]


def test_two_new_ends_speak_the_newest():
    """Greetings are in the first version, everything after in the newest."""
    duet = Duet.of()
    (hello,) = duet.agent.frames(at(0))
    duet.control.receive(hello, at(0))
    (welcome,) = duet.control.frames(at(0))
    duet.agent.receive(welcome, at(0))
    assert duet.agent.version == duet.control.version == 4
    (proof,) = duet.agent.frames(at(0))
    versions = [decode(frame[64:], Envelope).version for frame in (hello, welcome, proof)]
    assert versions == [1, 1, 4]
    duet.control.receive(proof, at(0))
    duet.control.send(ASKED)
    duet.agent.send(FOUND)
    duet.pump()
    assert duet.heard[DOWNWARDS] == [Received(0, ASKED)]
    assert Received(0, FOUND) in duet.heard[UPWARDS]


def test_a_frame_of_another_version_ends_the_session():
    """Neither end falls back on its own once a version is chosen."""
    duet = Duet.live()
    old = Duet.live(replace(agent_end(), versions=(1,)))
    old.agent.send(heartbeat(1))
    (frame,) = old.agent.frames(at(0))
    with pytest.raises(RemoteFaultError) as caught:
        duet.control.receive(frame, at(0))
    assert caught.value.fault is Fault.VERSION
