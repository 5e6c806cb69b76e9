"""What is told of the vault: typed, valid, and no more than that."""

from actors.tree import MailboxStats, Node
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.codec import encode_payload
from protocols.link.limits import MAX_NODES
from tests.support.trio_world import TrioWorld
from tests.unit.vault.control_link.scene import FakeHost
from vault.control_link import message_factory
from vault.control_link.outbox import OutboxBacklog
from vault.model.backup import BackupReport, BackupState, RestoreProof


async def test_every_message_is_one_that_the_peer_takes() -> None:
    """Each as the codec's own check has it."""
    host = FakeHost(TrioWorld())
    backlog = OutboxBacklog(3, 400, 2)
    facts = host.facts()
    heartbeat = message_factory.heartbeat(facts, backlog)
    made = [
        message_factory.registration(facts),
        heartbeat,
        message_factory.sync_state(words.SyncPhase.QUEUEING, 5, backlog),
        message_factory.metrics(host.figures(), 1, 2),
        message_factory.backups(BackupReport(BackupState.OFF, 0, 0, 0), RestoreProof(), 0),
        message_factory.alert(
            words.AlertCode.SEALED,
            words.Severity.INFO,
            "00000000-0000-4000-8000-000000000001",
            5_000_000,
        ),
    ]
    assert all(encode_payload(message) for message in made)
    assert (heartbeat.outbox_messages, heartbeat.outbox_bytes, heartbeat.secrets) == (3, 400, 4)
    assert isinstance(made[5], m.Alert)
    assert made[5].raised_at == 5


def _node(name: str, *children: Node, mailbox: MailboxStats | None = None) -> Node:
    return Node(
        name=name, kind="Some", state="running", restarts=1, last_failure="SecretError", handled=5,
        mean_time=0.002, max_time=0.5, mailbox=mailbox, children=children,
    )  # fmt: skip


async def test_a_glimpse_walks_the_tree() -> None:
    """Names without their paths, levels below the root, times in microseconds."""
    box = MailboxStats(3, 16, "refuse", 0, 1, 2, 0, 0)
    tree = _node("agent", _node("store", _node("store/writer", mailbox=box)), _node("audit"))
    told = message_factory.glimpse(FakeHost(TrioWorld()).figures(), tree, 7)
    assert encode_payload(told)
    assert [(str(node.name), node.level) for node in told.nodes] == [
        ("agent", 0), ("store", 1), ("writer", 2), ("audit", 1),
    ]  # fmt: skip
    writer = told.nodes[2]
    assert (writer.queued, writer.bound, writer.refused, writer.dropped) == (3, 16, 2, 1)
    assert (writer.mean_us, writer.max_us, writer.restarts) == (2_000, 500_000, 1)
    assert told.at == 7


async def test_no_name_but_the_programs_own_leaves_in_a_glimpse() -> None:
    """Whatever a tree has for names and failures; and no more actors than the bound."""
    canary = "canary-5f1d"
    tree = _node("agent", *(_node(f"work/{canary}") for _ in range(200)))
    told = message_factory.glimpse(FakeHost(TrioWorld()).figures(), tree, 7)
    data = encode_payload(told)
    assert canary.encode() not in data
    assert b"SecretError" not in data
    assert len(told.nodes) == MAX_NODES
    assert told.nodes[1].name is words.ActorName.OTHER


async def test_a_sealed_vaults_glimpse_has_no_actors() -> None:
    """They are not there."""
    assert message_factory.glimpse(FakeHost(TrioWorld()).figures(), None, 7).nodes == ()
