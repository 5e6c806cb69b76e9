"""Effect and cursor are one; what is owed is read in order."""

from control.gateway.link_store import inbox_cursor, outbox_state
from control.model.links import AgentLink
from control.services.agent_messages import new_stream_id
from control.services.witness import parse_checkpoint
from control.store import audit_records, links
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.pki.names import AgentName
from tests.unit.control.gateway.wired import Hub
from tests.unit.control.services.test_witness import leaves, shown

NAME = AgentName("acme", "one")
STREAM = b"s" * 16


def alert(count: int = 1) -> m.Alert:
    """Something that leaves one trace each time that it is applied."""
    return m.Alert(
        alert_id=bytes(16),
        code=words.AlertCode.DISK_LOW,
        severity=words.Severity.WARNING,
        raised_at=1,
        subject=bytes(16),
        count=count,
    )


async def alerts(hub: Hub) -> list[tuple[str, int]]:
    """What is on record, and how often it was said."""
    found = await hub.core.agents.alerts.list_alerts("acme", vault="one", before=0, limit=100)
    return [(row.code, row.count) for row in found]


async def test_a_message_has_its_effect_once(hub: Hub) -> None:
    """Whoever brings it again, in this session or another one."""
    await hub.enrolled("one")
    for _ in range(3):
        await hub.ends.apply_message(NAME, STREAM, 1, alert())
    await hub.ends.apply_message(NAME, STREAM, 2, alert())
    assert await alerts(hub) == [("disk_low", 2)]
    link = await hub.ends.open_link(NAME)
    assert inbox_cursor(link) == m.Cursor(stream=STREAM, applied=2)


async def test_a_new_stream_begins_at_its_beginning(hub: Hub) -> None:
    """An agent whose outbox was made anew counts from 1 again."""
    await hub.enrolled("one")
    await hub.ends.apply_message(NAME, STREAM, 7, alert())
    await hub.ends.apply_message(NAME, b"t" * 16, 1, alert())
    assert await alerts(hub) == [("disk_low", 2)]
    assert inbox_cursor(await hub.ends.open_link(NAME)).applied == 1


async def test_what_moves_the_cursor_alone_has_no_effect(hub: Hub) -> None:
    """A skip."""
    await hub.enrolled("one")
    await hub.ends.apply_message(NAME, STREAM, 5, None)
    assert await alerts(hub) == []
    assert inbox_cursor(await hub.ends.open_link(NAME)).applied == 5


async def test_what_we_lost_is_an_alarm(hub: Hub) -> None:
    """The cursor still moves: the agent cannot bring it again."""
    await hub.enrolled("one")
    await hub.ends.record_lost(NAME, STREAM, 1, 9)
    assert await alerts(hub) == [("link_lost", 1)]
    assert inbox_cursor(await hub.ends.open_link(NAME)).applied == 9


async def test_commands_wait_in_order_until_they_are_acknowledged(hub: Hub) -> None:
    """And are read behind whatever the agent has."""
    await hub.enrolled("one")
    for word in (words.CommandName.SEND_METRICS, words.CommandName.RUN_BACKUP):
        await hub.core.agents.commands.send_command("acme", "one", word, "ann")
    batch = await hub.ends.read_outbox(NAME, 0, 10)
    assert ([e.id for e in batch.entries], batch.through) == ([1, 2], 2)
    assert [e.id for e in (await hub.ends.read_outbox(NAME, 0, 1)).entries] == [1]
    assert (await hub.ends.read_outbox(NAME, 0, 1)).through == 1
    await hub.ends.record_acknowledged(NAME, 1)
    assert [e.id for e in (await hub.ends.read_outbox(NAME, 1, 10)).entries] == [2]
    rows = await hub.core.store.read(
        lambda tx: links.waiting_messages(tx, "acme", "one", after=0, limit=9)
    )
    assert [row.id for row in rows] == [2]


async def test_a_new_stream_of_ours_has_all_that_is_owed(hub: Hub) -> None:
    """The agent knew ids that a restored database never gave."""
    await hub.enrolled("one")
    for _ in range(3):
        await hub.core.agents.commands.send_command(
            "acme", "one", words.CommandName.SEND_METRICS, "ann"
        )
    await hub.ends.record_acknowledged(NAME, 2)
    before = await hub.ends.open_link(NAME)
    await hub.ends.restart_stream(NAME)
    after = outbox_state(await hub.ends.open_link(NAME))
    assert after.stream != before.stream
    assert (after.newest, after.acknowledged) == (1, 0)
    assert [e.id for e in (await hub.ends.read_outbox(NAME, 0, 10)).entries] == [1]


async def test_a_cosignature_waits_for_the_agent(hub: Hub) -> None:
    """The newest alone, made from what is stored."""
    await hub.enrolled("one")
    made = shown(leaves(3), 0)
    message = m.AuditCheckpoint(
        old_size=0,
        size=3,
        root=parse_checkpoint(made.note).root,
        note=made.note,
        signer=made.signer,
        proof=(),
    )
    await hub.ends.apply_message(NAME, STREAM, 1, message)
    [entry] = (await hub.ends.read_outbox(NAME, 0, 10)).entries
    assert entry.name is m.MessageType.CHECKPOINT_COSIGNATURE
    seen = await hub.core.store.read(lambda tx: audit_records.get_checkpoint(tx, "acme", "one"))
    assert seen is not None
    assert seen.size == 3


def test_states_are_as_a_session_takes_them() -> None:
    """Ours first, then the agent's."""
    link = AgentLink("o", "v", b"a" * 16, 5, 4, 0, 0, 0, 0, b"b" * 16, 3)
    assert (
        outbox_state(link).stream,
        outbox_state(link).newest,
        outbox_state(link).acknowledged,
    ) == (b"a" * 16, 5, 4)
    assert inbox_cursor(link) == m.Cursor(stream=b"b" * 16, applied=3)


async def test_ids_are_16_bytes_and_new(hub: Hub) -> None:
    """As streams and nonces must be."""
    made = {new_stream_id(hub.world) for _ in range(10)}
    assert ({len(one) for one in made}, len(made)) == ({16}, 10)
