"""Ids, cursors, windows: the arithmetic of durable delivery."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.link.codec import encode_payload, message_type_of
from protocols.link.delivery import (
    NO_CURSOR,
    DurableReceiver,
    DurableSender,
    OutboxBatch,
    OutboxEntry,
    OutboxState,
    evictions,
)
from protocols.link.errors import Fault, LocalFaultError, OutboxRolledBackError, RemoteFaultError
from protocols.link.limits import WINDOW, WINDOW_BYTES
from protocols.link.messages import (
    CheckpointCosignature,
    Cursor,
    Message,
    MessageType,
    PolicyUpdate,
    Skipped,
)
from tests.unit.protocols.link.duet import UP, alert, metrics

DROPPED, ACKNOWLEDGED = "dropped", "acknowledged"


def entry(id_: int, message: Message | None = None) -> OutboxEntry:
    """An alert, or this message, as an outbox holds it."""
    message = message or alert()
    return OutboxEntry(id_, message_type_of(message), encode_payload(message))


def batch(after: int, through: int, *ids: int) -> OutboxBatch:
    """What an outbox has between two ids."""
    return OutboxBatch(after, through, tuple(entry(id_) for id_ in ids))


def shown(sender: DurableSender, given_: OutboxBatch) -> list[object]:
    """What is sent for a batch: ids, and spans with their reason."""
    return [
        id_ if isinstance(item, OutboxEntry) else (item.first, id_, str(item.reason))  # type: ignore[attr-defined]
        for id_, item in sender.frames_for(given_)
    ]


def test_a_sender_goes_on_behind_the_peers_cursor():
    """What the peer has is not sent again."""
    sender = DurableSender(OutboxState(UP, 9, 3), Cursor(stream=UP, applied=5))
    assert sender.sent == sender.acknowledged == 5
    assert shown(sender, batch(5, 9, 6, 7, 8, 9)) == [6, 7, 8, 9]
    assert sender.sent == 9


def test_a_cursor_of_another_stream_counts_for_nothing():
    """A new outbox begins at its beginning, whatever number the old one reached."""
    sender = DurableSender(OutboxState(UP, 2, 0), Cursor(stream=b"o" * 16, applied=500))
    assert shown(sender, batch(0, 2, 1, 2)) == [1, 2]
    assert DurableReceiver(UP, Cursor(stream=b"o" * 16, applied=500)).applied == 0


def test_an_outbox_that_went_back_is_noticed():
    """Ids would be given twice: the stream cannot go on."""
    with pytest.raises(OutboxRolledBackError):
        DurableSender(OutboxState(UP, 4, 0), Cursor(stream=UP, applied=5))


@pytest.mark.parametrize(
    ("floor", "given_", "frames"),
    [
        (0, batch(0, 5, 1, 4, 5), [1, (2, 3, DROPPED), 4, 5]),
        (0, batch(0, 5, 3), [(1, 2, DROPPED), 3, (4, 5, DROPPED)]),
        (0, batch(0, 5), [(1, 5, DROPPED)]),
        (3, batch(0, 5, 5), [(1, 3, ACKNOWLEDGED), (4, 4, DROPPED), 5]),
        (3, batch(0, 3), [(1, 3, ACKNOWLEDGED)]),
        (5, batch(0, 5), [(1, 5, ACKNOWLEDGED)]),
        (0, batch(0, 0), []),
    ],
)
def test_ids_that_never_come_are_accounted_for(
    floor: int, given_: OutboxBatch, frames: list[object]
):
    """Dropped under pressure, or acknowledged once and deleted: each by its name, in its place."""
    assert shown(DurableSender(OutboxState(UP, given_.through, floor), NO_CURSOR), given_) == frames


def test_a_window_bounds_what_is_on_its_way():
    """At most so many frames without acknowledgement; acknowledging makes room."""
    ids = range(1, 2 * WINDOW)
    sender = DurableSender(OutboxState(UP, 2 * WINDOW, 0), NO_CURSOR)
    assert len(shown(sender, batch(0, 2 * WINDOW - 1, *ids))) == WINDOW
    assert sender.window_room == 0
    assert shown(sender, batch(WINDOW, 2 * WINDOW - 1, *ids[WINDOW:])) == []
    assert sender.apply_ack(3)
    assert not sender.apply_ack(3)
    assert sender.window_room == 3
    assert shown(sender, batch(WINDOW, 2 * WINDOW - 1, *ids[WINDOW:])) == [65, 66, 67]
    assert not sender.is_idle
    sender.apply_ack(67)
    assert sender.is_idle


def test_a_window_bounds_bytes_too():
    """Large bundles fill it before their number does; one may always be under way."""
    large = OutboxEntry(1, MessageType.POLICY_UPDATE, bytes(WINDOW_BYTES + 1))
    sender = DurableSender(OutboxState(UP, 2, 0), NO_CURSOR)
    assert sender.window_room == WINDOW
    assert shown(sender, OutboxBatch(0, 2, (large, entry(2)))) == [1]
    assert sender.window_room == 0
    sender.apply_ack(1)
    assert shown(sender, batch(1, 2, 2)) == [2]


@pytest.mark.parametrize(
    "wrong", [batch(1, 5, 2), batch(0, 5, 2, 1), batch(0, 5, 6), batch(0, 5, 1, 1)]
)
def test_a_batch_out_of_order_is_our_bug(wrong: OutboxBatch):
    """A faulty outbox does not reach the wire."""
    with pytest.raises(LocalFaultError):
        shown(DurableSender(OutboxState(UP, 9, 0), NO_CURSOR), wrong)


def test_an_acknowledgement_is_of_what_was_sent_and_never_goes_back():
    """Neither ahead nor back: both would lose messages."""
    sender = DurableSender(OutboxState(UP, 9, 0), Cursor(stream=UP, applied=2))
    shown(sender, batch(2, 4, 3, 4))
    for wrong in (1, 5):
        with pytest.raises(RemoteFaultError) as caught:
            sender.apply_ack(wrong)
        assert caught.value.fault is Fault.ACK


def refusal(receiver: DurableReceiver, id_: int, message: Message | None = None) -> Fault:
    """Why a message is not accepted."""
    with pytest.raises(RemoteFaultError) as caught:
        receiver.accept_message(id_, message or alert())
    return caught.value.fault


def test_a_receiver_takes_the_next_id_only():
    """No gap, no repetition."""
    receiver = DurableReceiver(UP, Cursor(stream=UP, applied=7))
    receiver.accept_message(8, alert())
    assert refusal(receiver, 10) is Fault.GAP
    assert refusal(receiver, 8) is Fault.DURABLE_ID
    assert refusal(receiver, 1) is Fault.DURABLE_ID
    receiver.accept_message(9, alert())


def test_a_skip_must_begin_where_the_receiver_is():
    """It explains exactly what is missing."""
    receiver = DurableReceiver(UP, NO_CURSOR)
    assert refusal(receiver, 5, Skipped(first=2, reason=DROPPED)) is Fault.GAP  # type: ignore[arg-type]
    assert refusal(receiver, 5, Skipped(first=6, reason=DROPPED)) is Fault.DURABLE_ID  # type: ignore[arg-type]
    receiver.accept_message(5, Skipped(first=1, reason=DROPPED))  # type: ignore[arg-type]
    receiver.accept_message(6, alert())


def test_a_receiver_tells_only_what_is_applied():
    """Received is not applied: what is acknowledged is durable here."""
    receiver = DurableReceiver(UP, NO_CURSOR)
    receiver.accept_message(1, alert())
    receiver.accept_message(2, alert())
    assert receiver.take_ack() == 0
    receiver.mark_applied(1)
    assert receiver.take_ack() == 1
    assert not receiver.is_idle
    receiver.mark_applied(2)
    receiver.take_ack()
    assert receiver.is_idle
    for wrong in (1, 3):
        with pytest.raises(LocalFaultError):
            receiver.mark_applied(wrong)


def test_a_peer_that_ignores_the_window_is_cut():
    """Memory for messages that wait to be applied is bounded."""
    receiver = DurableReceiver(UP, NO_CURSOR)
    for id_ in range(1, WINDOW + 1):
        receiver.accept_message(id_, alert())
    assert refusal(receiver, WINDOW + 1) is Fault.WINDOW
    receiver.mark_applied(1)
    receiver.take_ack()
    receiver.accept_message(WINDOW + 1, alert())


POLICY = PolicyUpdate(bundle=bytes(100))
COSIGNED = CheckpointCosignature(size=1, root=bytes(32), cosignature="— w " + "A" * 102 + "==\n")


def test_metrics_go_oldest_first_and_evidence_never():
    """However large the excess, an alert stays."""
    kept = [entry(1), entry(2, metrics()), entry(3), entry(4, metrics()), entry(5, metrics())]
    assert list(evictions(kept, 1)) == [2]
    assert list(evictions(kept, 1 + len(kept[1].payload))) == [2, 4]
    assert list(evictions(kept, 10**9)) == [2, 4, 5]
    assert list(evictions(kept, 0)) == []


def test_what_is_superseded_goes_first_but_never_the_newest():
    """An agent that comes back gets the last policy, whatever happened to those before."""
    kept = [entry(1, POLICY), entry(2, COSIGNED), entry(3, metrics()), entry(4, POLICY)]
    assert list(evictions(kept, 1)) == [1]
    assert list(evictions(kept, 10**9)) == [1, 3]


@given(
    kinds=st.lists(st.sampled_from([alert(), metrics(), POLICY, COSIGNED]), max_size=30),
    excess=st.integers(0, 5000),
)
def test_no_more_goes_than_must(kinds: list[Message], excess: int):
    """Without the last victim it would not have been enough."""
    kept = {n: entry(n, message) for n, message in enumerate(kinds, 1)}
    gone = [len(kept[id_].payload) for id_ in evictions(list(kept.values()), excess)]
    assert sum(gone[:-1]) < excess or not gone
