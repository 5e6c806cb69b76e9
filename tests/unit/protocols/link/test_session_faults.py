"""How a session begins, and every way to break it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from protocols.link import messages as m
from protocols.link.codec import decode_struct
from protocols.link.delivery import OutboxState
from protocols.link.envelope import Envelope
from protocols.link.errors import Fault, LocalFaultError, OutboxRolledBackError
from protocols.link.messages import Direction
from protocols.link.session import LinkSession
from protocols.link.session_events import SessionCaughtUp, SessionOpened
from protocols.link.signing import Verifier
from protocols.link.states import SessionState
from protocols.link.vocabulary import SkipReason
from tests.unit.protocols.link.duet import (
    CHANNEL,
    DOWN,
    UP,
    Duet,
    agent_end,
    alert,
    altered,
    at,
    batch,
    command,
    control_end,
    fixed,
    heartbeat,
    refusal,
    said,
)

UPWARDS, DOWNWARDS = Direction.TO_CONTROL, Direction.TO_AGENT


# --- beginning ------------------------------------------------------------------------------------


def test_two_ends_become_live():
    """Hello, Welcome, and the agent's first frame: both know the same session."""
    duet = Duet.of()
    assert (duet.agent.state, duet.control.state) == (
        SessionState.HELLO_SENT,
        SessionState.CONNECTING,
    )
    duet.pump()
    assert (duet.agent.state, duet.control.state) == (SessionState.LIVE, SessionState.LIVE)
    assert duet.agent.id == duet.control.id != bytes(16)
    for events in duet.heard.values():
        assert events == [SessionOpened(duet.agent.id), SessionCaughtUp()]


def test_nobody_talks_before_the_other_has_proven_itself():
    """The control plane sends nothing durable to what may be a recorded hello."""
    duet = Duet.of()
    duet.control.receive_frame(duet.agent.take_frames(at(0))[0], at(0))
    assert duet.control.state is SessionState.HELLO_SENT
    assert duet.control.window_room == 0
    for session, message in ((duet.agent, heartbeat()), (duet.control, command())):
        with pytest.raises(LocalFaultError):
            session.send_message(message)
        with pytest.raises(LocalFaultError):
            session.send_batch(batch(0, alert()))


def test_a_recorded_hello_gets_no_further():
    """Replayed, it opens another session, in which the recording's next frame has no place."""
    duet = Duet.of()
    hello = duet.agent.take_frames(at(0))
    duet.control.receive_frame(hello[0], at(0))
    duet.agent.receive_frame(duet.control.take_frames(at(0))[0], at(0))
    first = duet.agent.take_frames(at(0))
    fresh = LinkSession.control(replace(control_end(), nonce=fixed("fresh")), at(9))
    fresh.receive_frame(hello[0], at(9))
    assert refusal(fresh, first[0], 9) is Fault.SESSION


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"vault_id": "test"}, "vault"),
        ({"session": b"s" * 16}, "session"),
        ({"seq": 1}, "sequence"),
        ({"timestamp": 0}, "clock"),
        ({"ack": 1}, "ack"),
        ({"version": 2}, "version"),
        ({"id": 1}, "durable_id"),
    ],
)
def test_a_hello_out_of_form_is_refused(changes: dict[str, Any], fault: str):
    """Every field of the first envelope is fixed."""
    duet = Duet.of()
    hello = altered(duet.agent.take_frames(at(0))[0], UPWARDS, **changes)
    assert refusal(duet.control, hello) == fault


def test_a_hello_of_another_identity_is_refused():
    """A valid agent cannot speak for another vault or organization of the same authority."""
    other = replace(CHANNEL, org="other")
    hello = LinkSession.agent(replace(agent_end(), channel=other), at(0)).take_frames(at(0))[0]
    assert refusal(LinkSession.control(control_end(), at(0)), hello) is Fault.IDENTITY


def test_a_session_is_bound_to_its_certificates():
    """If the two ends see different certificates, someone is between them."""
    for change in ({"agent_certificate": bytes(32)}, {"control_certificate": bytes(32)}):
        duet = Duet.of(control=replace(control_end(), channel=replace(CHANNEL, **change)))
        duet.control.receive_frame(duet.agent.take_frames(at(0))[0], at(0))
        assert refusal(duet.agent, duet.control.take_frames(at(0))[0]) is Fault.SESSION


def test_only_the_known_link_key_counts():
    """A certificate alone does not make a peer: its frames must bear its link key's signature."""
    stranger = Verifier([b"\x01" + bytes(31)])
    duet = Duet.of(control=replace(control_end(), verifier=stranger))
    assert refusal(duet.control, duet.agent.take_frames(at(0))[0]) is Fault.SIGNATURE


def test_a_welcome_that_answers_another_hello_is_refused():
    """A recorded welcome does not fit a fresh nonce."""
    duet = Duet.of()
    duet.control.receive_frame(duet.agent.take_frames(at(0))[0], at(0))
    later = LinkSession.agent(replace(agent_end(), nonce=fixed("later")), at(0))
    assert refusal(later, duet.control.take_frames(at(0))[0]) is Fault.NONCE


def test_a_control_plane_that_went_back_is_noticed():
    """Its outbox is older than what we have applied: both ends see it, each by its own error."""
    cursor = m.Cursor(stream=DOWN, applied=5)
    duet = Duet.of(agent_end(cursor=cursor), control_end(OutboxState(DOWN, 4, 0)))
    hello = duet.agent.take_frames(at(0))[0]
    with pytest.raises(OutboxRolledBackError):
        duet.control.receive_frame(hello, at(0))
    duet = Duet.of(agent_end(cursor=cursor), control_end(OutboxState(DOWN, 5, 0)))
    duet.control.receive_frame(duet.agent.take_frames(at(0))[0], at(0))
    welcome = duet.control.take_frames(at(0))[0]
    message = decode_struct(bytes(decode_struct(welcome[64:], Envelope).payload), m.Welcome)
    older = said(welcome, msgspec.structs.replace(message, newest=4), DOWNWARDS)
    assert refusal(duet.agent, older) is Fault.ROLLBACK


def test_an_agent_that_went_back_is_told_to_begin_anew():
    """Its outbox would give ids twice, so it must not go on with this stream."""
    duet = Duet.of(
        agent_end(OutboxState(UP, 4, 0)), control_end(cursor=m.Cursor(stream=UP, applied=5))
    )
    duet.control.receive_frame(duet.agent.take_frames(at(0))[0], at(0))
    with pytest.raises(OutboxRolledBackError):
        duet.agent.receive_frame(duet.control.take_frames(at(0))[0], at(0))
    assert duet.agent.is_ended


# --- breaking the rules ---------------------------------------------------------------------------


def in_session() -> Iterator[tuple[Duet, LinkSession, bytes, Direction]]:
    """A frame on its way in a live session, either way."""
    duet = Duet.live()
    duet.agent.send_message(heartbeat())
    yield duet, duet.control, duet.agent.take_frames(at(0))[0], UPWARDS
    duet = Duet.live()
    duet.control.send_batch(batch(0, command()))
    yield duet, duet.agent, duet.control.take_frames(at(0))[0], DOWNWARDS


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"vault_id": "test"}, "vault"),
        ({"session": b"s" * 16}, "session"),
        ({"seq": 0}, "sequence"),
        ({"seq": 9}, "sequence"),
        ({"timestamp": 0}, "clock"),
        ({"ack": 1}, "ack"),
    ],
)
def test_a_frame_out_of_place_closes_the_session(changes: dict[str, Any], fault: str):
    """By name, either way."""
    for _, session, frame, direction in in_session():
        assert refusal(session, altered(frame, direction, **changes)) == fault


def test_a_repeated_frame_closes_the_session():
    """The same bytes a second time have a number that was used."""
    for _, session, frame, _ in in_session():
        session.receive_frame(frame, at(0))
        assert refusal(session, frame) is Fault.SEQUENCE


def test_frames_that_change_places_close_the_session():
    """Neither can the first be lost or come second."""
    duet = Duet.live()
    duet.agent.send_message(heartbeat(1))
    duet.agent.send_message(heartbeat(2))
    assert refusal(duet.control, duet.agent.take_frames(at(0))[1]) is Fault.SEQUENCE


def test_a_frame_sent_back_to_its_sender_closes_the_session():
    """The direction is signed: a reflected frame is nobody's."""
    duet = Duet.live()
    duet.agent.send_message(heartbeat())
    assert refusal(duet.agent, duet.agent.take_frames(at(0))[0]) is Fault.SIGNATURE


def test_a_frame_of_an_earlier_session_closes_the_session():
    """Old sessions do not come back."""
    old, new = Duet.live(), Duet.live(replace(agent_end(), nonce=fixed("another")))
    old.agent.send_message(heartbeat())
    assert refusal(new.control, old.agent.take_frames(at(0))[0]) is Fault.SESSION


@pytest.mark.parametrize(
    ("message", "id_", "fault"),
    [
        (alert(), 2, "gap"),
        (m.Skipped(first=2, reason=SkipReason.DROPPED), 3, "gap"),
        (m.Skipped(first=4, reason=SkipReason.DROPPED), 3, "durable_id"),
        (m.Pong(number=1), 0, "state"),
        (
            m.Hello(
                versions=(1,),
                org="acme",
                nonce=UP,
                stream=UP,
                newest=0,
                received=m.Cursor(stream=UP, applied=0),
            ),
            0,
            "state",
        ),
    ],
)
def test_a_message_out_of_place_closes_the_session(message: m.Message, id_: int, fault: str):
    """Unexplained gaps, skips that do not fit, answers to nothing, a second greeting."""
    duet = Duet.live()
    duet.agent.send_message(heartbeat())
    frame = said(duet.agent.take_frames(at(0))[0], message, UPWARDS, id=id_)
    assert refusal(duet.control, frame) == fault


def test_nothing_but_a_greeting_is_heard_first():
    """A peer that begins with something else is cut."""
    duet = Duet.of()
    hello = duet.agent.take_frames(at(0))[0]
    assert refusal(duet.control, said(hello, heartbeat(), UPWARDS)) is Fault.STATE
    duet = Duet.of()
    duet.control.receive_frame(duet.agent.take_frames(at(0))[0], at(0))
    welcome = duet.control.take_frames(at(0))[0]
    assert refusal(duet.agent, said(welcome, m.Ack(), DOWNWARDS)) is Fault.STATE
