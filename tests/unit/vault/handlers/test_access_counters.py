"""Tests of the counts of reads."""

import pytest
import trio

from tests.contract.store.samples import put, secret
from tests.unit.vault.handlers.conftest import NOW, SECOND, House
from vault.barrier import VaultTx
from vault.errors import UnavailableError
from vault.handlers.access_counters import AccessCounters
from vault.handlers.stores import AccessStore, SecretTx
from vault.model.records import AccessRow
from vault.store.store import Store
from vault.store.table import StoreQuery
from vault.store.tables import ACCESS, SECRETS


async def there(house: House, *secrets: str) -> None:
    """Secrets of these ids, to be read."""
    rows = [secret(f"n{number}", id=id_) for number, id_ in enumerate(secrets)]
    await house.barrier.transact(put(SECRETS, *rows))


async def test_pending_and_stored_are_summed(house: House) -> None:
    """What is flushed and what is not yet are one count; the later time wins."""
    await there(house, "s")
    counts = AccessCounters(AccessStore(house.barrier), house.world)
    counts.count_value_read("s")
    await counts.flush()
    house.world.time += SECOND
    counts.count_value_read("s")
    counts.count_metadata_read("s")
    assert await counts.get("s") == AccessRow(
        secret_id="s", value_reads=2, metadata_reads=1, last_value_read=NOW + SECOND,
        last_metadata_read=NOW + SECOND,
    )  # fmt: skip


async def test_a_flush_adds_to_what_others_wrote(house: House) -> None:
    """Two agents' counts of one secret are summed in the database."""
    await there(house, "s")
    for _ in range(2):
        counts = AccessCounters(AccessStore(house.barrier), house.world)
        counts.count_value_read("s")
        await counts.flush()
    row = await house.barrier.get(ACCESS, "s")
    assert row is not None
    assert row.value_reads == 2


async def test_a_read_costs_no_write(house: House) -> None:
    """Nothing is stored until the flush."""
    house.access.count_value_read("s")
    assert await house.barrier.get(ACCESS, "s") is None


async def test_a_flush_that_fails_loses_nothing(house: House) -> None:
    """The counts stay pending, with those that came meanwhile, and the next flush has them all."""

    class Failing:
        broken = True

        def __init__(self, store: Store) -> None:
            self.get = store.get

        async def transact(self, change: object) -> object:
            if self.broken:
                counts.count_value_read("s")
                raise UnavailableError("store_gone", "gone")
            return await house.barrier.transact(change)  # type: ignore[arg-type]  # a change

    await there(house, "s")
    failing = Failing(house.store)
    counts = AccessCounters(AccessStore(failing), house.world)  # type: ignore[arg-type]  # what it uses of one
    counts.count_value_read("s")
    with pytest.raises(UnavailableError):
        await counts.flush()
    failing.broken = False
    await counts.flush()
    row = await house.barrier.get(ACCESS, "s")
    assert row is not None
    assert row.value_reads == 2


async def test_many_secrets_are_flushed_in_batches(house: House) -> None:
    """More than one transaction holds are all written."""
    await there(house, *(f"s{number}" for number in range(2201)))
    for number in range(2201):
        house.access.count_value_read(f"s{number}")
    before = house.store.statistics().changes
    await house.access.flush()
    assert house.store.statistics().changes - before == 3
    assert await house.barrier.get(ACCESS, "s0") is not None
    assert await house.barrier.get(ACCESS, "s2200") is not None


async def test_a_flush_ends_while_others_read(house: House) -> None:
    """What comes while it writes is the next one's: it would go on for as long as anybody reads."""

    def read(batch: list[AccessRow]) -> None:
        told.extend(batch)
        if len(told) < 9:
            counts.count_value_read("a")
            counts.count_value_read("b")

    await there(house, "a", "b")
    told: list[AccessRow] = []
    counts = AccessCounters(AccessStore(house.barrier), house.world, read)
    counts.count_value_read("a")
    await counts.flush()
    assert [row.secret_id for row in told] == ["a"]
    assert (await counts.get("a")).value_reads == 2
    assert (await counts.get("b")).value_reads == 1


async def test_of_a_secret_that_was_erased_nothing_is_left(house: House) -> None:
    """Its last reads are flushed after it is gone."""
    await there(house, "s", "other")
    house.access.count_value_read("s")
    house.access.count_value_read("other")

    def gone(tx: VaultTx) -> None:
        head = tx.get(SECRETS, "n0")
        assert head is not None
        SecretTx(tx).erase_secret(head)

    await house.barrier.transact(gone)
    await house.access.flush()
    assert [row.secret_id for row in await house.barrier.select(ACCESS, StoreQuery())] == ["other"]


async def test_the_pending_counts_are_bounded(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound new secrets are not counted; the known ones go on."""
    monkeypatch.setattr("vault.handlers.access_counters.MAX_PENDING", 1)
    for name in ("a", "b", "a"):
        house.access.count_value_read(name)
        house.access.count_metadata_read(name)
    assert (await house.access.get("a")).value_reads == 2
    assert (await house.access.get("b")).metadata_reads == 0


async def test_what_was_flushed_is_told(house: House) -> None:
    """Once, and not what is still pending."""
    told: list[AccessRow] = []
    counts = AccessCounters(AccessStore(house.barrier), house.world, told.extend)
    counts.count_value_read("s")
    counts.count_value_read("s")
    assert told == []
    await counts.flush()
    await counts.flush()
    assert [(row.secret_id, row.value_reads) for row in told] == [("s", 2)]


async def test_what_left_makes_room(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushed, or put back and flushed: else nothing new was counted after a while."""
    monkeypatch.setattr("vault.handlers.access_counters.MAX_PENDING", 1)
    await there(house, "a", "c", "d")
    counts = house.access
    counts.count_value_read("a")
    await counts.flush()
    counts.count_value_read("c")
    with trio.CancelScope() as scope:
        scope.cancel()
        await counts.flush()
    counts.count_value_read("d")
    assert (await counts.get("c")).value_reads == 1
    assert (await counts.get("d")).value_reads == 0
    await counts.flush()
    counts.count_value_read("d")
    assert (await counts.get("d")).value_reads == 1


async def test_what_is_stored_is_not_counted_again(house: House) -> None:
    """Whoever is told of it may fail: what is written is written."""

    def fail(_: list[AccessRow]) -> None:
        raise ZeroDivisionError

    await there(house, "s")
    counts = AccessCounters(AccessStore(house.barrier), house.world, fail)
    counts.count_value_read("s")
    with pytest.raises(ZeroDivisionError):
        await counts.flush()
    await counts.flush()
    assert (await counts.get("s")).value_reads == 1
