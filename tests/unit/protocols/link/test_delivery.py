"""Ids, cursors, windows: the arithmetic of durable delivery."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.link.codec import encode_payload, name_of
from protocols.link.delivery import (
    NO_CURSOR,
    Batch,
    Entry,
    OutboxState,
    Receiver,
    Sender,
    victims,
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


def entry(id_: int, message: Message | None = None) -> Entry:
    """An alert, or this message, as an outbox holds it."""
    message = message or alert()
    return Entry(id_, name_of(message), encode_payload(message))


def batch(after: int, through: int, *ids: int) -> Batch:
    """What an outbox has between two ids."""
    return Batch(after, through, tuple(entry(id_) for id_ in ids))


def shown(sender: Sender, given_: Batch) -> list[object]:
    """What is sent for a batch: ids, and spans with their reason."""
    return [
        id_ if isinstance(item, Entry) else (item.first, id_, str(item.reason))  # type: ignore[attr-defined]
        for id_, item in sender.frames(given_)
    ]


def test_a_sender_goes_on_behind_the_peers_cursor():
    """What the peer has is not sent again."""
    sender = Sender(OutboxState(UP, 9, 3), Cursor(stream=UP, applied=5))
    assert sender.sent == sender.acknowledged == 5
    assert shown(sender, batch(5, 9, 6, 7, 8, 9)) == [6, 7, 8, 9]
    assert sender.sent == 9


def test_a_cursor_of_another_stream_counts_for_nothing():
    """A new outbox begins at its beginning, whatever number the old one reached."""
    sender = Sender(OutboxState(UP, 2, 0), Cursor(stream=b"o" * 16, applied=500))
    assert shown(sender, batch(0, 2, 1, 2)) == [1, 2]
    assert Receiver(UP, Cursor(stream=b"o" * 16, applied=500)).applied == 0


def test_an_outbox_that_went_back_is_noticed():
    """Ids would be given twice: the stream cannot go on."""
    with pytest.raises(OutboxRolledBackError):
        Sender(OutboxState(UP, 4, 0), Cursor(stream=UP, applied=5))


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
def test_ids_that_never_come_are_accounted_for(floor: int, given_: Batch, frames: list[object]):
    """Dropped under pressure, or acknowledged once and deleted: each by its name, in its place."""
    assert shown(Sender(OutboxState(UP, given_.through, floor), NO_CURSOR), given_) == frames


def test_a_window_bounds_what_is_on_its_way():
    """At most so many frames without acknowledgement; acknowledging makes room."""
    ids = range(1, 2 * WINDOW)
    sender = Sender(OutboxState(UP, 2 * WINDOW, 0), NO_CURSOR)
    assert len(shown(sender, batch(0, 2 * WINDOW - 1, *ids))) == WINDOW
    assert sender.room == 0
    assert shown(sender, batch(WINDOW, 2 * WINDOW - 1, *ids[WINDOW:])) == []
    assert sender.acknowledge(3)
    assert not sender.acknowledge(3)
    assert sender.room == 3
    assert shown(sender, batch(WINDOW, 2 * WINDOW - 1, *ids[WINDOW:])) == [65, 66, 67]
    assert not sender.idle
    sender.acknowledge(67)
    assert sender.idle


def test_a_window_bounds_bytes_too():
    """Large bundles fill it before their number does; one may always be under way."""
    large = Entry(1, MessageType.POLICY_UPDATE, bytes(WINDOW_BYTES + 1))
    sender = Sender(OutboxState(UP, 2, 0), NO_CURSOR)
    assert sender.room == WINDOW
    assert shown(sender, Batch(0, 2, (large, entry(2)))) == [1]
    assert sender.room == 0
    sender.acknowledge(1)
    assert shown(sender, batch(1, 2, 2)) == [2]


@pytest.mark.parametrize(
    "wrong", [batch(1, 5, 2), batch(0, 5, 2, 1), batch(0, 5, 6), batch(0, 5, 1, 1)]
)
def test_a_batch_out_of_order_is_our_bug(wrong: Batch):
    """A faulty outbox does not reach the wire."""
    with pytest.raises(LocalFaultError):
        shown(Sender(OutboxState(UP, 9, 0), NO_CURSOR), wrong)


def test_an_acknowledgement_is_of_what_was_sent_and_never_goes_back():
    """Neither ahead nor back: both would lose messages."""
    sender = Sender(OutboxState(UP, 9, 0), Cursor(stream=UP, applied=2))
    shown(sender, batch(2, 4, 3, 4))
    for wrong in (1, 5):
        with pytest.raises(RemoteFaultError) as caught:
            sender.acknowledge(wrong)
        assert caught.value.fault is Fault.ACK


def refusal(receiver: Receiver, id_: int, message: Message | None = None) -> Fault:
    """Why a message is not accepted."""
    with pytest.raises(RemoteFaultError) as caught:
        receiver.accept(id_, message or alert())
    return caught.value.fault


def test_a_receiver_takes_the_next_id_only():
    """No gap, no repetition."""
    receiver = Receiver(UP, Cursor(stream=UP, applied=7))
    receiver.accept(8, alert())
    assert refusal(receiver, 10) is Fault.GAP
    assert refusal(receiver, 8) is Fault.DURABLE_ID
    assert refusal(receiver, 1) is Fault.DURABLE_ID
    receiver.accept(9, alert())


def test_a_skip_must_begin_where_the_receiver_is():
    """It explains exactly what is missing."""
    receiver = Receiver(UP, NO_CURSOR)
    assert refusal(receiver, 5, Skipped(first=2, reason=DROPPED)) is Fault.GAP  # type: ignore[arg-type]
    assert refusal(receiver, 5, Skipped(first=6, reason=DROPPED)) is Fault.DURABLE_ID  # type: ignore[arg-type]
    receiver.accept(5, Skipped(first=1, reason=DROPPED))  # type: ignore[arg-type]
    receiver.accept(6, alert())


def test_a_receiver_tells_only_what_is_applied():
    """Received is not applied: what is acknowledged is durable here."""
    receiver = Receiver(UP, NO_CURSOR)
    receiver.accept(1, alert())
    receiver.accept(2, alert())
    assert receiver.tell() == 0
    receiver.apply(1)
    assert receiver.tell() == 1
    assert not receiver.idle
    receiver.apply(2)
    receiver.tell()
    assert receiver.idle
    for wrong in (1, 3):
        with pytest.raises(LocalFaultError):
            receiver.apply(wrong)


def test_a_peer_that_ignores_the_window_is_cut():
    """Memory for messages that wait to be applied is bounded."""
    receiver = Receiver(UP, NO_CURSOR)
    for id_ in range(1, WINDOW + 1):
        receiver.accept(id_, alert())
    assert refusal(receiver, WINDOW + 1) is Fault.WINDOW
    receiver.apply(1)
    receiver.tell()
    receiver.accept(WINDOW + 1, alert())


POLICY = PolicyUpdate(bundle=bytes(100))
COSIGNED = CheckpointCosignature(size=1, root=bytes(32), cosignature="— w " + "A" * 102 + "==\n")


def test_metrics_go_oldest_first_and_evidence_never():
    """However large the excess, an alert stays."""
    kept = [entry(1), entry(2, metrics()), entry(3), entry(4, metrics()), entry(5, metrics())]
    assert list(victims(kept, 1)) == [2]
    assert list(victims(kept, 1 + len(kept[1].payload))) == [2, 4]
    assert list(victims(kept, 10**9)) == [2, 4, 5]
    assert list(victims(kept, 0)) == []


def test_what_is_superseded_goes_first_but_never_the_newest():
    """An agent that comes back gets the last policy, whatever happened to those before."""
    kept = [entry(1, POLICY), entry(2, COSIGNED), entry(3, metrics()), entry(4, POLICY)]
    assert list(victims(kept, 1)) == [1]
    assert list(victims(kept, 10**9)) == [1, 3]


@given(
    kinds=st.lists(st.sampled_from([alert(), metrics(), POLICY, COSIGNED]), max_size=30),
    excess=st.integers(0, 5000),
)
def test_no_more_goes_than_must(kinds: list[Message], excess: int):
    """Without the last victim it would not have been enough."""
    kept = {n: entry(n, message) for n, message in enumerate(kinds, 1)}
    gone = [len(kept[id_].payload) for id_ in victims(list(kept.values()), excess)]
    assert sum(gone[:-1]) < excess or not gone
