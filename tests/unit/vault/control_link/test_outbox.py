"""The durable outbox: ids without gaps, a bound in bytes, evidence that stays."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.testing import FakeWorld
from protocols.link import messages as m
from protocols.link.codec import decode_payload
from protocols.link.delivery import OutboxBatch
from protocols.link.errors import LocalFaultError
from protocols.link_transport.memory import MemoryOutbox
from tests.unit.vault.control_link.samples import fixed
from tests.unit.vault.control_link.test_message_merge import ALERT, RESULT, STATUS
from vault.control_link.database import LinkTx, open_link_database
from vault.control_link.outbox import SqlOutbox

METRICS = m.Metrics(since=1, until=2, counters=(), gauges=(), histograms=())
NOTE = (
    "freehold.audit/v/n\n5\n" + "A" * 43 + "=\nhead " + "0" * 64 + "\ntime 2026-01-01T00:00:00Z\n\n"
    "— freehold.audit/v/n " + "A" * 91 + "=\n"
)
CHECKPOINT = m.AuditCheckpoint(
    old_size=0, size=5, root=bytes(32), note=NOTE, signer=bytes(32), proof=()
)


@pytest.fixture
async def outbox() -> AsyncIterator[SqlOutbox]:
    """An empty one with a bound of 4 KiB."""
    async with open_link_database(None, FakeWorld()) as database:
        made = SqlOutbox(database, FakeWorld(seed=1), bound=4096)
        await made.open()
        yield made


async def names(outbox: SqlOutbox) -> list[str]:
    """What waits, in order."""
    return [entry.name for entry in (await outbox.read(0, 1000)).entries]


async def test_it_does_what_the_one_in_memory_does(outbox: SqlOutbox) -> None:
    """The same ids, batches and states over appends, reads and acknowledgements."""
    memory = MemoryOutbox((await outbox.state()).stream)
    for number in range(20):
        message = replace(ALERT, alert_id=fixed(str(number)))
        assert await outbox.append(message) == await memory.append(message)
        if number % 7 == 6:
            await outbox.acknowledge(number - 2)
            await memory.acknowledge(number - 2)
        assert await outbox.state() == await memory.state()
        for after in (0, number // 2, number + 1):
            for limit in (1, 3, 100):
                assert await outbox.read(after, limit) == await memory.read(after, limit)


async def test_only_durable_messages_are_kept(outbox: SqlOutbox) -> None:
    """What is lost with its connection, or invalid, does not get in."""
    for wrong in (m.Ping(number=1), replace(ALERT, count=0)):
        with pytest.raises(LocalFaultError):
            await outbox.append(wrong)
    assert await outbox.read(0, 10) == OutboxBatch(0, 0, ())


async def test_metrics_go_first_and_evidence_is_merged_never_dropped(outbox: SqlOutbox) -> None:
    """Over the bound: the oldest metrics, then alerts become one that says how often."""
    for number in range(30):
        await outbox.append(replace(METRICS, since=number))
    for number in range(60):
        await outbox.append(replace(ALERT, alert_id=fixed(str(number)), count=1))
    backlog = await outbox.backlog()
    assert backlog.bytes <= 4096
    assert backlog.dropped == 30
    alerts = [entry for entry in (await outbox.read(0, 1000)).entries if entry.name == "alert"]
    from protocols.link.codec import decode_payload

    told = [decode_payload(entry.name, entry.payload) for entry in alerts]
    assert sum(alert.count for alert in told) == 60  # type: ignore[attr-defined]
    assert (await outbox.state()).newest == 90


async def test_answers_stay_even_over_the_bound(outbox: SqlOutbox) -> None:
    """What stands alone is never let go: the bound gives way, not the evidence."""
    for number in range(100):
        await outbox.append(replace(RESULT, command_id=fixed(str(number))))
    assert (await outbox.backlog()).messages == 100


async def test_only_the_newest_checkpoint_waits(outbox: SqlOutbox) -> None:
    """It covers those before, which are announced as dropped by their missing ids."""
    await outbox.append(CHECKPOINT)
    await outbox.append(STATUS)
    await outbox.append(replace(CHECKPOINT, size=9))
    assert await names(outbox) == ["policy_status", "audit_checkpoint"]
    assert [entry.id for entry in (await outbox.read(0, 10)).entries] == [2, 3]


async def test_a_new_stream_has_all_that_is_owed(outbox: SqlOutbox) -> None:
    """After a rollback: another stream, ids from 1, what was not acknowledged."""
    before = await outbox.state()
    for message in (ALERT, STATUS, METRICS):
        await outbox.append(message)
    await outbox.acknowledge(1)
    await outbox.restart()
    after = await outbox.state()
    assert after.stream != before.stream
    assert (after.newest, after.acknowledged) == (2, 0)
    assert await names(outbox) == ["policy_status", "metrics"]


async def test_it_survives_its_process(tmp_path: Path) -> None:
    """Stream, ids and messages are those from before."""
    path, world = tmp_path / "uplink.db", FakeWorld()
    async with open_link_database(path, world) as database:
        outbox = SqlOutbox(database, world)
        await outbox.open()
        await outbox.append(ALERT)
        state = await outbox.state()
    async with open_link_database(path, world) as database:
        again = SqlOutbox(database, world)
        await again.open()
        assert await again.state() == state
        assert await names(again) == ["alert"]
        assert await again.append(STATUS) == 2


async def test_what_was_offered_is_never_merged(outbox: SqlOutbox) -> None:
    """The other end may have applied it: merged, it would count twice, or not at all."""
    for number in range(3):
        await outbox.append(replace(ALERT, alert_id=fixed(str(number)), count=1))
    await outbox.read(0, 2)
    for number in range(3, 60):
        await outbox.append(replace(ALERT, alert_id=fixed(str(number)), count=1))
    batch = await outbox.read(0, 1000)
    assert [entry.id for entry in batch.entries[:2]] == [1, 2]
    counts = [decode_payload(entry.name, entry.payload).count for entry in batch.entries]  # type: ignore[attr-defined]
    assert counts[:2] == [1, 1]
    assert len(counts) < 60
    assert sum(counts) == 60


async def test_what_an_earlier_life_left_is_never_merged(tmp_path: Path) -> None:
    """It may have been sent by then."""
    path = tmp_path / "uplink.db"
    for life in range(2):
        async with open_link_database(path, FakeWorld()) as database:
            outbox = SqlOutbox(database, FakeWorld(seed=1), bound=4096)
            await outbox.open()
            for number in range(5 if life == 0 else 60):
                await outbox.append(replace(ALERT, alert_id=fixed(f"{life} {number}")))
            kept = (await outbox.read(0, 1000)).entries
    assert [entry.id for entry in kept[:5]] == [1, 2, 3, 4, 5]
    assert len(kept) < 65


async def test_over_its_bound_a_message_costs_what_it_always_costs(tmp_path: Path) -> None:
    """Weeks of evidence that nothing can be made of: no message looks at all that waits.

    Counted in steps of SQLite's machine, for one message with 300 and with 3,000 before it.
    """
    world = FakeWorld()
    async with open_link_database(tmp_path / "uplink.db", world) as database:
        outbox = SqlOutbox(database, world, bound=1_000)
        await outbox.open()
        costs = []
        for upto in (300, 3_000):
            waits = (await outbox.backlog()).messages
            await database.transact(partial(filled, outbox, waits, upto))
            costs.append(await database.transact(partial(steps, outbox, upto)))
        assert 0 < costs[1] < 2 * costs[0]


def filled(outbox: SqlOutbox, first: int, upto: int, tx: LinkTx) -> None:
    """So many results of commands, each about something else."""
    for number in range(first, upto):
        outbox.append_in(tx, replace(RESULT, command_id=fixed(str(number))))


def steps(outbox: SqlOutbox, number: int, tx: LinkTx) -> int:
    """What one more alert costs, in tens of instructions of SQLite's machine."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    tx.set_progress_handler(step, 10)
    outbox.append_in(tx, replace(ALERT, alert_id=fixed(f"alert {number}")))
    tx.set_progress_handler(None, 0)
    return count


async def test_crossing_the_bound_merges_what_was_kept_apart_before(outbox: SqlOutbox) -> None:
    """Below it every alert stands for itself; over it each topic is one, and stays so."""
    for number in range(100):
        await outbox.append(replace(ALERT, alert_id=fixed(str(number)), count=1))
        await outbox.append(replace(RESULT, command_id=fixed(str(number))))
    entries = (await outbox.read(0, 1000)).entries
    alerts = [decode_payload(e.name, e.payload) for e in entries if e.name == "alert"]
    assert sum(alert.count for alert in alerts) == 100  # type: ignore[attr-defined]
    assert len(alerts) == 1
    assert sum(entry.name == "command_result" for entry in entries) == 100
