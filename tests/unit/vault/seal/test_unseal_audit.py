"""That a vault was made, and who opened it, is on record as soon as there is a log."""

import msgspec
import pytest

from actors.testing import FakeWorld
from tests.unit.vault.seal.anchor.places import KEYRING
from vault.audit.record import AuditEvent
from vault.barrier import HmacRowGuard
from vault.model.records import RecorderRow, SystemRow
from vault.model.restore import RESTORED_ROW, RestoreRecord
from vault.seal.manager import SEAL_ROW
from vault.seal.seal_record import SealRecord
from vault.seal.unseal_audit import record_unseal
from vault.store.memory import MemoryBackend
from vault.store.store import open_store
from vault.store.tables import RECORDERS, SYSTEM

MADE = 1_800_000_000 * 10**9


class Log:
    """What was recorded."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    async def record(self, event: AuditEvent) -> None:
        """As the broker's."""
        self.events.append(event)


async def opened(kind: str, *, first: bool, by_person: bool = True) -> list[AuditEvent]:
    """The records of an opening of a vault with 3 of 5 shares, or a key file."""
    seal = SealRecord(type=kind, shares=5, threshold=3, org="o", vault="v", created_at=MADE)
    row = SystemRow(name=SEAL_ROW, value=msgspec.json.encode(seal))
    log = Log()
    async with open_store(MemoryBackend(), HmacRowGuard(KEYRING), FakeWorld()) as store:
        await store.commit(lambda tx: tx.put(SYSTEM, row))
        await record_unseal(
            log, store, FakeWorld(), "node-1", is_first=first, by_operator=by_person
        )  # type: ignore[arg-type]  # as far as it is asked
    return log.events


async def test_the_first_opening_tells_of_the_making_too() -> None:
    """When and with how many shares; then that it was opened."""
    made, unsealed = await opened("shamir", first=True)
    assert (made.operation, made.path, made.result) == ("sys.init", "sys/init", "ok")
    assert made.rule == "shamir, 3 of 5, at 2027-01-15T08:00:00Z"
    assert (unsealed.operation, unsealed.path) == ("sys.unseal", "sys/unseal")
    assert made.request_id != unsealed.request_id


@pytest.mark.parametrize(
    ("kind", "by_person", "actor"),
    [("shamir", True, "operator"), ("file", True, "operator"), ("file", False, "service:file")],
)
async def test_each_opening_is_on_record(kind: str, by_person: bool, actor: str) -> None:
    """By people with shares or with the key file, or by the agent itself with its file."""
    (unsealed,) = await opened(kind, first=False, by_person=by_person)
    assert (unsealed.operation, unsealed.actor_name, unsealed.method) == ("sys.unseal", actor, kind)


async def restored(*nodes: str, awaited: tuple[str, ...] = ()) -> list[AuditEvent]:
    """The records of openings by these nodes, one after the other, of a restored vault."""
    seal = SealRecord(type="file", shares=1, threshold=1, org="o", vault="v", created_at=MADE)
    made = RestoreRecord(
        backup="b7",
        taken="2027-01-15T08:00:00Z",
        commits=5,
        time="2027-01-16T08:00:00Z",
        tokens_kept=False,
        reason="fire",
        awaited=list(awaited),
    )
    rows = [
        SystemRow(name=SEAL_ROW, value=msgspec.json.encode(seal)),
        SystemRow(name=RESTORED_ROW, value=msgspec.json.encode(made)),
    ]
    log = Log()
    async with open_store(MemoryBackend(), HmacRowGuard(KEYRING), FakeWorld()) as store:
        await store.commit(lambda tx: [tx.put(SYSTEM, row) for row in rows])
        recorder = RecorderRow(id="node/0", flushed_at=1, is_open=True)
        await store.commit(lambda tx: tx.put(RECORDERS, recorder))
        for node in nodes:
            await record_unseal(  # as far as it is asked
                log,  # type: ignore[arg-type]
                store,
                FakeWorld(),
                node,
                is_first=False,
                by_operator=True,
            )
        left = await store.get(SYSTEM, RESTORED_ROW)
        (recorder,) = await store.select_all(RECORDERS)
        assert (recorder.is_open, recorder.lost_at > 0) == (False, True), "of fetches since then"
    assert (left is None) == (set(awaited) <= set(nodes))
    return log.events


async def test_a_restore_is_on_record_once() -> None:
    """As an alert of the first opening that follows, with its reason; then the row is gone."""
    event, *others = await restored("node-1", "node-1")
    assert (event.operation, event.alert, event.actor_name) == ("sys.restore", True, "operator")
    assert "reason: fire; backup b7" in event.rule
    assert "tokens were dropped" in event.rule
    assert [each.operation for each in others] == ["sys.unseal", "sys.unseal"]


async def test_a_restore_is_on_record_with_each_node() -> None:
    """Of those that the vault had, and whichever opens it first; not of those that come later."""
    nodes = ("new", "node-1", "node-1", "later", "node-2", "node-2")
    found = [each.operation for each in await restored(*nodes, awaited=("node-1", "node-2"))]
    assert found == [
        "sys.restore", "sys.unseal", "sys.restore", "sys.unseal", "sys.unseal", "sys.unseal",
        "sys.restore", "sys.unseal", "sys.unseal",
    ]  # fmt: skip
    left = [each.operation for each in await restored("node-1", awaited=("node-1", "node-2"))]
    assert left == ["sys.restore", "sys.unseal"]
