"""An acceptance goes on record, and the index forgets what the log does not have."""

from actors.testing import FakeWorld
from tests.unit.vault.anchor.places import KEYRING
from vault.anchor.aftermath import OPERATION, event, forget_index
from vault.anchor.judge import Finding
from vault.anchor.mark import Base
from vault.anchor.opening import Standing
from vault.anchor.rows import Totals
from vault.audit.record import MAX_TEXT
from vault.barrier import RowGuard
from vault.model.records import BlockRow
from vault.store.memory import MemoryBackend
from vault.store.store import open_store
from vault.store.table import Query
from vault.store.tables import AUDIT
from vault.store.tx import Tx


def block(log: str, first: int) -> BlockRow:
    """A row of the index, of ten records."""
    return BlockRow(log, first, first + 9, 1, 0, 1, 1, b"")


def test_the_record_says_what_and_why() -> None:
    """The first finding's code, all findings, the reason; within a record's bounds."""
    findings = (Finding("storage_rolled_back", "a"), Finding("audit_log_behind", "b" * 1000))
    standing = Standing(2, Base(1, Totals()), b"", "", anchored=True, accepted=findings, why="fire")
    made = event(standing, FakeWorld())
    assert (made.operation, made.code, made.actor_name) == (
        OPERATION, "storage_rolled_back", "operator",
    )  # fmt: skip
    assert made.alert
    assert made.rule.startswith("reason: fire; a; bbb")
    assert len(made.rule) == MAX_TEXT


async def test_the_index_forgets_what_the_log_does_not_have() -> None:
    """More than one page of it, also a block that has some of it, and nothing else."""
    async with open_store(MemoryBackend(), RowGuard(KEYRING), FakeWorld()) as store:

        def fill(tx: Tx) -> None:
            for first in range(0, 25_000, 10):
                tx.put(AUDIT, block("mine", first))
            tx.put(AUDIT, block("other", 20_000))

        await store.commit(fill)
        await forget_index(store, "mine", 35)
        left = await store.select(AUDIT, Query())
    assert [(row.log, row.first) for row in left] == [
        ("mine", 0), ("mine", 10), ("mine", 20), ("other", 20_000),
    ]  # fmt: skip
