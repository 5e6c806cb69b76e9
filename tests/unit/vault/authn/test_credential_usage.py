"""Uses of credentials: counted in memory, flushed in batches, none lost to an error."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.contract.store.samples import put, token
from vault.authn import credential_usage as module
from vault.errors import UnavailableError
from vault.model.records import UsageRow
from vault.store.table import StoreQuery
from vault.store.tables import TOKENS, USAGE


async def there(desk: Any, *accessors: str) -> None:
    """Tokens of these accessors, to be used."""
    await desk.store.commit(put(TOKENS, *map(token, accessors)))


async def test_counts_before_and_after_the_flush(desk: Any) -> None:
    """What is asked for is what is stored and what is pending, together."""
    await there(desk, "k")
    usage = desk.usage
    assert await usage.get("k") == UsageRow(credential_id="k")
    usage.count_use("k")
    desk.world.time += 3
    usage.count_use("k")
    wanted = UsageRow(credential_id="k", uses=2, last_used=desk.world.time)
    assert await usage.get("k") == wanted
    await usage.flush()
    assert await desk.store.get(USAGE, "k") == wanted
    usage.count_use("k")
    assert (await usage.get("k")).uses == 3
    await usage.flush()
    await usage.flush()
    assert await desk.store.get(USAGE, "k") == replace(wanted, uses=3)


async def test_two_processes_count_together(desk: Any) -> None:
    """Each flushes what it has counted; the row has the sum, and the latest use of both."""
    await there(desk, "k")
    other = module.CredentialUsage(desk.store, desk.world)
    desk.usage.count_use("k")
    desk.world.time += 3
    other.count_use("k")
    await other.flush()
    await desk.usage.flush()
    wanted = UsageRow(credential_id="k", uses=2, last_used=desk.world.time)
    assert await desk.store.get(USAGE, "k") == wanted


async def test_batches(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush takes as many transactions as it needs, each of a bounded number of rows."""
    monkeypatch.setattr(module, "FLUSH_BATCH", 4)
    await there(desk, *(f"k{i}" for i in range(10)))
    for i in range(10):
        desk.usage.count_use(f"k{i}")
    before = desk.store.statistics().changes
    await desk.usage.flush()
    assert desk.store.statistics().changes - before == 3
    assert (await desk.usage.get("k9")).uses == 1


async def test_a_flush_ends_while_others_come(desk: Any) -> None:
    """What is used while it writes is the next one's: else it would go on for as long."""

    def use(batch: dict[str, tuple[int, int]]) -> None:
        told.extend(batch)
        if len(told) < 9:
            usage.count_use("k")

    await there(desk, "k")
    told: list[str] = []
    usage = module.CredentialUsage(desk.store, desk.world, use)
    usage.count_use("k")
    await usage.flush()
    assert told == ["k"]
    assert (await usage.get("k")).uses == 2


async def test_an_error_loses_nothing(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store refuses, the uses stay pending, with those that came meanwhile."""
    await there(desk, "k")
    honest = desk.store.commit

    async def refuse(_change: Any) -> None:
        desk.usage.count_use("k")
        raise UnavailableError("store_full", "full")

    desk.usage.count_use("k")
    monkeypatch.setattr(desk.store, "commit", refuse)
    with pytest.raises(UnavailableError):
        await desk.usage.flush()
    monkeypatch.setattr(desk.store, "commit", honest)
    await desk.usage.flush()
    assert (await desk.store.get(USAGE, "k")).uses == 2


async def test_of_a_credential_that_is_gone_nothing_is_left(desk: Any) -> None:
    """It may have been revoked, by any process, since it was used."""
    await there(desk, "k")
    desk.usage.count_use("k")
    desk.usage.count_use("gone")
    await desk.usage.flush()
    assert [row.credential_id for row in await desk.store.select(USAGE, StoreQuery())] == ["k"]


async def test_bounded(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound new credentials are not counted; those pending go on counting."""
    monkeypatch.setattr(module, "MAX_PENDING", 2)
    for key in "abcab":
        desk.usage.count_use(key)
    assert {k: uses for k, (uses, _) in desk.usage._pending.items()} == {"a": 2, "b": 2}


async def test_what_was_flushed_is_told(desk: Any) -> None:
    """Once, and not what is still pending."""
    told: list[dict[str, tuple[int, int]]] = []
    usage = module.CredentialUsage(desk.store, desk.world, told.append)
    usage.count_use("k")
    usage.count_use("k")
    assert told == []
    await usage.flush()
    await usage.flush()
    assert [{key: uses for key, (uses, _) in one.items()} for one in told] == [{"k": 2}]
