"""A session, both ends of it: talking, keeping time, ending; test_session_faults has the rest."""

from dataclasses import replace

import pytest

from protocols.link import messages as m
from protocols.link.codec import decode_struct
from protocols.link.delivery import OutboxBatch, OutboxState
from protocols.link.envelope import Envelope
from protocols.link.errors import Fault, LocalFaultError, RemoteFaultError
from protocols.link.limits import MAX_QUEUED, PINGS_A_MINUTE, VERSIONS, WINDOW
from protocols.link.messages import Direction
from protocols.link.session import LinkSession
from protocols.link.session_events import (
    MessageReceived,
    MessagesAcknowledged,
    MessagesSkipped,
    PeerLeaving,
    SessionCaughtUp,
    SessionOpened,
)
from protocols.link.states import SessionState
from protocols.link.vocabulary import BackupState, ByeReason, SkipReason
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
VAULT = m.Vault(vault=b"v" * 16)
ROTATIONS = m.Rotations(
    at=1, policies=2, unmanaged=3, due=4, overdue=5, overdue_since=6, next_due=7, running=8,
    waiting=9, failing=10, stuck=11, rotated_day=12, rotated_month=13, leases=14, revoking=15,
    irrevocable=16, notices=(),
)  # fmt: skip
CLIENTS = m.Clients(lagging=1, unrenewed=2)
BACKUPS = m.Backups(
    state=BackupState.GOOD, newest=5, proven=4, count=3, period=60, rto=2, rpo=1,
    certificate=bytes(32),
)  # fmt: skip


# --- talking --------------------------------------------------------------------------------------


def test_durable_messages_are_delivered_applied_and_acknowledged():
    """Acknowledged is only what the owner has called applied."""
    duet = Duet.live()
    duet.agent.send_batch(batch(0, alert(1), metrics(2)))
    duet.pump()
    assert duet.heard[UPWARDS] == [MessageReceived(1, alert(1)), MessageReceived(2, metrics(2))]
    assert duet.heard[DOWNWARDS] == []
    duet.control.mark_applied(1)
    duet.pump()
    assert duet.heard[DOWNWARDS] == [MessagesAcknowledged(1)]
    assert duet.agent.last_sent == 2
    assert duet.control.peer_stream == UP


def test_acknowledgements_ride_on_what_goes_anyway():
    """No frame of its own when another one is due, and none when there is nothing to tell."""
    duet = Duet.live()
    duet.agent.send_batch(batch(0, alert(1)))
    duet.pump()
    duet.control.mark_applied(1)
    duet.control.send_batch(batch(0, command(1)))
    assert len(duet.control.take_frames(at(0))) == 1
    assert duet.control.take_frames(at(0)) == []


def test_ephemeral_messages_need_no_outbox():
    """They come with id 0."""
    duet = Duet.live()
    duet.agent.send_message(heartbeat(4))
    duet.pump()
    assert duet.heard[UPWARDS] == [MessageReceived(0, heartbeat(4))]


def test_what_waited_is_sent_before_the_session_counts_as_live():
    """Live means: caught up, both ways."""
    duet = Duet.of(agent_end(OutboxState(UP, 2, 0)), control_end(OutboxState(DOWN, 1, 0)))
    duet.pump()
    assert duet.agent.state is duet.control.state is SessionState.SYNCING
    duet.agent.send_batch(batch(0, alert(1), alert(2)))
    duet.control.send_batch(batch(0, command(1)))
    duet.pump()
    assert duet.control.mark_applied(2) == []
    duet.pump()
    assert duet.agent.state is SessionState.SYNCING
    assert duet.agent.mark_applied(1) == [SessionCaughtUp()]
    duet.pump()
    assert duet.heard[UPWARDS][-2:] == [MessagesAcknowledged(1), SessionCaughtUp()]
    assert duet.control.state is SessionState.LIVE


def test_a_cursor_ahead_of_our_record_is_an_acknowledgement():
    """The acknowledgement that was cut off comes with the next greeting."""
    duet = Duet.of(
        agent_end(OutboxState(UP, 5, 2), m.Cursor(stream=DOWN, applied=3)),
        control_end(OutboxState(DOWN, 3, 1), m.Cursor(stream=UP, applied=4)),
    )
    duet.pump()
    assert duet.heard[DOWNWARDS] == [SessionOpened(duet.agent.id), MessagesAcknowledged(4)]
    assert duet.heard[UPWARDS] == [SessionOpened(duet.agent.id), MessagesAcknowledged(3)]


def test_missing_ids_come_as_an_event_of_their_own():
    """A receiver can tell dropped metrics from what it has lost itself."""
    duet = Duet.of(agent_end(OutboxState(UP, 5, 2)))
    duet.pump()
    duet.agent.send_batch(OutboxBatch(0, 5, (batch(4, alert(5)).entries[0],)))
    duet.pump()
    assert duet.heard[UPWARDS][1:] == [
        MessagesSkipped(1, 2, SkipReason.ACKNOWLEDGED),
        MessagesSkipped(3, 4, SkipReason.DROPPED),
        MessageReceived(5, alert(5)),
    ]
    duet.control.mark_applied(5)
    duet.pump()
    assert duet.agent.state is SessionState.LIVE


def test_the_window_is_what_the_owner_sees_as_room():
    """An owner that reads `room` entries never has one too many."""
    duet = Duet.live()
    assert duet.agent.window_room == WINDOW
    duet.agent.send_batch(batch(0, *[alert(n) for n in range(1, 80)]))
    assert duet.agent.window_room == 0
    duet.pump()
    assert len(duet.heard[UPWARDS]) == WINDOW
    duet.control.mark_applied(10)
    duet.pump()
    assert duet.agent.window_room == 10


@pytest.mark.parametrize(
    "message", [alert(), command(), m.Ping(number=1), m.Ack(), m.Cursor(stream=UP, applied=1)]
)
def test_what_is_not_ours_to_send_is_our_bug(message: m.Message):
    """Durable, the peer's, the protocol's own or none at all: nothing is queued."""
    duet = Duet.live()
    with pytest.raises(LocalFaultError):
        duet.agent.send_message(message)
    with pytest.raises(LocalFaultError):
        duet.control.send_message(heartbeat())
    assert duet.agent.take_frames(at(0)) == []


def test_a_writer_that_stands_still_is_our_bug():
    """The queue for the writer is bounded."""
    duet = Duet.live()
    for n in range(MAX_QUEUED + 1):
        duet.agent.send_message(heartbeat(n))
    with pytest.raises(LocalFaultError, match="nobody writes"):
        duet.agent.send_message(heartbeat())


# --- time -----------------------------------------------------------------------------------------


def test_a_quiet_peer_is_pinged_and_its_answer_keeps_it():
    """10 seconds of silence make a ping; the answer is measured and silence begins anew."""
    duet = Duet.live()
    assert duet.agent.deadline == at(10).monotonic
    duet.agent.tick(at(9.9))
    assert duet.agent.take_frames(at(9.9)) == []
    duet.agent.tick(at(10))
    for frame in duet.agent.take_frames(at(10)):
        duet.control.receive_frame(frame, at(10.2))
    for frame in duet.control.take_frames(at(10.2)):
        duet.agent.receive_frame(frame, at(10.4))
    assert duet.agent.round_trip == pytest.approx(0.4)
    assert duet.agent.deadline == at(20.4).monotonic


def test_on_a_quiet_link_one_side_asks():
    """The agent's ping comes before the control plane would send its own; alone, it asks at 12."""
    duet = Duet.live()
    assert duet.control.deadline == at(12).monotonic
    duet.agent.tick(at(10))
    for frame in duet.agent.take_frames(at(10)):
        duet.control.receive_frame(frame, at(10.1))
    assert duet.control.deadline == at(22.1).monotonic
    duet.control.tick(at(12))
    assert len(duet.control.take_frames(at(12))) == 1  # the pong alone


def test_a_silent_peer_is_dead_after_thirty_seconds():
    """Pings go out at 10 and 20 seconds; then it is over, whatever TCP believes."""
    duet = Duet.live()
    sent = []
    for second in (10, 20):
        duet.agent.tick(at(second))
        sent += duet.agent.take_frames(at(second))
    assert len(sent) == 2
    assert duet.agent.deadline == at(30).monotonic
    with pytest.raises(RemoteFaultError) as caught:
        duet.agent.tick(at(30))
    assert caught.value.fault is Fault.TIMEOUT
    assert duet.agent.is_ended
    assert duet.agent.deadline == float("inf")


def test_pings_keep_the_pace_of_an_ends_patience():
    """Whoever waits 3 seconds for the dead asks after 1, the control plane after 1.2."""
    duet = Duet.live(replace(agent_end(), dead=3.0), replace(control_end(), dead=3.0))
    assert duet.agent.deadline == pytest.approx(at(1).monotonic)
    assert duet.control.deadline == pytest.approx(at(1.2).monotonic)
    duet.agent.tick(at(2))
    duet.agent.take_frames(at(2))
    with pytest.raises(RemoteFaultError) as caught:
        duet.agent.tick(at(3))
    assert caught.value.fault is Fault.TIMEOUT


def test_a_flood_of_pings_costs_one_answer():
    """Only the newest is answered, and one more than a minute may have ends the session."""
    duet = Duet.live()
    duet.agent.send_message(heartbeat())
    frame = duet.agent.take_frames(at(0))[0]
    seq = decode_struct(frame[64:], Envelope).seq
    for n in range(PINGS_A_MINUTE):
        ping = said(frame, m.Ping(number=n), UPWARDS, seq=seq + n)
        assert duet.control.receive_frame(ping, at(0)) == []
    answers = duet.control.take_frames(at(0))
    assert len(answers) == 1
    answer = decode_struct(bytes(decode_struct(answers[0][64:], Envelope).payload), m.Pong)
    assert answer.number == PINGS_A_MINUTE - 1
    for seconds in (0.1, 60.0 / PINGS_A_MINUTE):  # the second is paid for by the time that passed
        duet = Duet.live()
        duet.agent.send_message(heartbeat())
        frame = duet.agent.take_frames(at(0))[0]
        seq = decode_struct(frame[64:], Envelope).seq
        for n in range(PINGS_A_MINUTE):
            duet.control.receive_frame(said(frame, m.Ping(number=n), UPWARDS, seq=seq + n), at(0))
        late = said(frame, m.Ping(number=9999), UPWARDS, seq=seq + PINGS_A_MINUTE)
        if seconds == 0.1:
            assert refusal(duet.control, late, seconds) is Fault.FLOOD
        else:
            assert duet.control.receive_frame(late, at(seconds)) == []


@pytest.mark.parametrize(
    "session", [LinkSession.agent(agent_end(), at(0)), LinkSession.control(control_end(), at(0))]
)
def test_a_peer_that_does_not_greet_is_given_up(session: LinkSession):
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
    duet.agent.send_batch(batch(0, *[alert(n) for n in range(1, what + 1)]))
    leaver: LinkSession = getattr(duet, who)
    leaver.send_bye(ByeReason.RESTART, at(1), spread=5000)
    leaver.send_bye(ByeReason.RESTART, at(1))
    assert leaver.window_room == 0
    duet.pump(1)
    other = duet.heard[UPWARDS if who == "agent" else DOWNWARDS]
    assert PeerLeaving(ByeReason.RESTART, 5000) in other
    if what:
        assert not duet.agent.is_ended
        duet.control.mark_applied(what)
        duet.pump(1)
        assert MessagesAcknowledged(what) in duet.heard[DOWNWARDS]
    assert duet.agent.is_ended
    assert duet.control.is_ended


def test_a_goodbye_that_is_not_answered_ends_too():
    """After 5 seconds, without a fault."""
    duet = Duet.live()
    duet.agent.send_bye(ByeReason.SHUTDOWN, at(1))
    duet.agent.tick(at(5.9))
    assert not duet.agent.is_ended
    duet.agent.tick(at(6))
    assert duet.agent.is_ended


def test_after_its_goodbye_a_peer_begins_nothing():
    """Acknowledgements and pings only."""
    duet = Duet.live()
    duet.agent.send_bye(ByeReason.SHUTDOWN, at(0))
    bye = duet.agent.take_frames(at(0))[0]
    duet.control.send_batch(batch(0, command()))
    duet.control.receive_frame(bye, at(0))
    seq = decode_struct(bye[64:], Envelope).seq
    duet.control.receive_frame(said(bye, m.Ack(), UPWARDS, seq=seq + 1), at(0))
    assert refusal(duet.control, said(bye, heartbeat(), UPWARDS, seq=seq + 2)) is Fault.STATE


def test_leaving_before_the_greeting_just_closes():
    """There is nobody to say goodbye to."""
    session = LinkSession.control(control_end(), at(0))
    session.send_bye(ByeReason.SHUTDOWN, at(0))
    assert session.is_ended
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
        duet.control.send_message(ASKED)
    with pytest.raises(LocalFaultError, match="has no replay_result"):
        duet.agent.send_message(FOUND)
    duet.agent.send_batch(batch(0, alert(1)))
    duet.control.send_batch(batch(0, command(1)))
    duet.pump()
    assert duet.heard[UPWARDS] == [MessageReceived(1, alert(1))]
    assert duet.heard[DOWNWARDS] == [MessageReceived(1, command(1))]


@pytest.mark.parametrize("older", ["agent", "control"])
def test_a_peer_of_version_8_has_no_clients(older: str):
    """It takes the greeting, which names no more than it reads; it has rotations as before."""
    before = (1, 2, 3, 4, 5, 6, 7, 8)
    agent = replace(agent_end(), versions=before if older == "agent" else VERSIONS)
    control = replace(control_end(), versions=before if older == "control" else VERSIONS)
    assert len(VERSIONS) <= len(before)
    duet = Duet.live(agent, control)
    assert duet.agent.version == duet.control.version == 8
    with pytest.raises(LocalFaultError, match="has no clients"):
        duet.agent.send_message(CLIENTS)
    duet.agent.send_message(ROTATIONS)
    duet.pump()
    assert duet.heard[UPWARDS] == [MessageReceived(0, ROTATIONS)]
    newest = Duet.live()
    newest.agent.send_message(CLIENTS)
    newest.pump()
    assert newest.heard[UPWARDS] == [MessageReceived(0, CLIENTS)]


@pytest.mark.parametrize("older", ["agent", "control"])
def test_a_peer_of_version_2_is_met_in_the_first(older: str):
    """Version 2 is not spoken any more."""
    agent = replace(agent_end(), versions=(1, 2) if older == "agent" else VERSIONS)
    control = replace(control_end(), versions=(1, 2) if older == "control" else VERSIONS)
    duet = Duet.live(agent, control)
    assert duet.agent.version == duet.control.version == 1


@pytest.mark.parametrize("older", ["agent", "control"])
def test_a_peer_of_version_6_has_no_rotations(older: str):
    """Of neither side; it has backups as before."""
    before = (1, 2, 3, 4, 5, 6)
    agent = replace(agent_end(), versions=before if older == "agent" else VERSIONS)
    control = replace(control_end(), versions=before if older == "control" else VERSIONS)
    duet = Duet.live(agent, control)
    assert duet.agent.version == duet.control.version == 6
    with pytest.raises(LocalFaultError, match="has no rotations"):
        duet.agent.send_message(ROTATIONS)
    duet.agent.send_message(BACKUPS)
    duet.pump()
    assert duet.heard[UPWARDS] == [MessageReceived(0, BACKUPS)]


@pytest.mark.parametrize("older", ["agent", "control"])
def test_a_peer_of_version_5_has_no_backups(older: str):
    """An agent of it cannot be asked for them, a control plane of it is not told of them."""
    before = (1, 2, 3, 4, 5)
    agent = replace(agent_end(), versions=before if older == "agent" else VERSIONS)
    control = replace(control_end(), versions=before if older == "control" else VERSIONS)
    duet = Duet.live(agent, control)
    assert duet.agent.version == duet.control.version == 5
    with pytest.raises(LocalFaultError, match="has no backups"):
        duet.agent.send_message(BACKUPS)
    duet.agent.send_message(VAULT)
    duet.pump()
    assert duet.heard[UPWARDS] == [MessageReceived(0, VAULT)]
    newest = Duet.live()
    newest.agent.send_message(BACKUPS)
    newest.pump()
    assert newest.heard[UPWARDS] == [MessageReceived(0, BACKUPS)]


def test_two_new_ends_speak_the_newest():
    """Greetings are in the first version, everything after in the newest."""
    duet = Duet.of()
    (hello,) = duet.agent.take_frames(at(0))
    duet.control.receive_frame(hello, at(0))
    (welcome,) = duet.control.take_frames(at(0))
    duet.agent.receive_frame(welcome, at(0))
    assert duet.agent.version == duet.control.version == 9
    (proof,) = duet.agent.take_frames(at(0))
    versions = [decode_struct(frame[64:], Envelope).version for frame in (hello, welcome, proof)]
    assert versions == [1, 1, 9]
    duet.control.receive_frame(proof, at(0))
    duet.control.send_message(ASKED)
    duet.agent.send_message(FOUND)
    duet.pump()
    assert duet.heard[DOWNWARDS] == [MessageReceived(0, ASKED)]
    assert MessageReceived(0, FOUND) in duet.heard[UPWARDS]


def test_a_frame_of_another_version_ends_the_session():
    """Neither end falls back on its own once a version is chosen."""
    duet = Duet.live()
    old = Duet.live(replace(agent_end(), versions=(1,)))
    old.agent.send_message(heartbeat(1))
    (frame,) = old.agent.take_frames(at(0))
    with pytest.raises(RemoteFaultError) as caught:
        duet.control.receive_frame(frame, at(0))
    assert caught.value.fault is Fault.VERSION
