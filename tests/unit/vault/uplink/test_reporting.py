"""What is told of the vault: typed, valid, and no more than that."""

from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.codec import encode_payload
from tests.unit.vault.uplink.scene import FakeHost, TrioWorld
from vault.uplink import reporting
from vault.uplink.outbox import Backlog


async def test_every_message_is_one_that_the_peer_takes() -> None:
    """Each as the codec's own check has it."""
    host = FakeHost(TrioWorld())
    backlog = Backlog(3, 400, 2)
    facts = host.facts()
    heartbeat = reporting.heartbeat(facts, backlog)
    made = [
        reporting.registration(facts),
        heartbeat,
        reporting.sync_state(words.SyncPhase.QUEUEING, 5, backlog),
        reporting.metrics(host.figures(), 1, 2),
        reporting.alert(
            words.AlertCode.SEALED,
            words.Severity.INFO,
            "00000000-0000-4000-8000-000000000001",
            5_000_000,
        ),
    ]
    assert all(encode_payload(message) for message in made)
    assert (heartbeat.outbox_messages, heartbeat.outbox_bytes, heartbeat.secrets) == (3, 400, 4)
    assert isinstance(made[4], m.Alert)
    assert made[4].raised_at == 5
