"""Leases on every database: whoever has lost one has no effect any more."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from actors import SystemWorld
from protocols.instant import SECOND
from tests.contract.store.lease_overlaps import (
    KINDS,
    agents_on,
    empty_database,
    force_overlaps,
)
from tests.support.databases import SERVERS, remove_rows, server_backend
from vault.cluster.leases import DURATION, FencedError, Leases
from vault.store.store import Store
from vault.store.tables import LEASES
from vault.store.transaction import StoreTx

ROUNDS = 300


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kinds of databases, one after another."""
    return str(request.param)


@pytest.fixture
async def stores(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> AsyncIterator[list[Store]]:
    """Three stores on one empty database."""
    url = ""
    if kind in SERVERS:
        url = request.getfixturevalue(f"{kind}_url")
        remove_rows(server_backend(url))
    with empty_database(kind, tmp_path, url) as backends:
        async with agents_on(backends) as found:
            yield found


async def test_no_effect_of_a_former_holder(stores: list[Store]) -> None:
    """Two agents believe that they have the lease: only those of its holder are stored."""
    found = await force_overlaps(stores, ROUNDS, 1)
    assert found.rounds == ROUNDS
    assert found.stale == 0
    assert found.refused >= ROUNDS, "in each round one comes too late"
    assert found.effects >= ROUNDS


async def test_the_overlaps_are_real(stores: list[Store]) -> None:
    """Without the check former holders have effects: the test above can fail."""
    found = await force_overlaps(stores, ROUNDS, 2, checked=False)
    assert found.refused == 0
    assert found.stale >= ROUNDS


async def test_one_agent_has_it_until_it_gives_it_up(stores: list[Store]) -> None:
    """Which the others see, with the next epoch."""
    one, other, third = (Leases(store, SystemWorld(), shared=True) for store in stores)
    lease = (await one.claim(["work"]))["work"]
    assert lease.epoch == 1
    assert lease.is_held
    assert not lease.covers(DURATION)
    assert await other.claim(["work"]) == {}
    assert (await one.claim(["work"]))["work"] is lease
    await one.release()
    taken = (await third.claim(["work"]))["work"]
    assert taken.epoch == 2
    with pytest.raises(FencedError, match="was lost"):
        await stores[0].commit(lease.fence)
    await stores[2].commit(taken.fence)


async def test_the_end_is_of_the_clock_that_all_have(kind: str, stores: list[Store]) -> None:
    """A server's own, to the microsecond; a file has none, and the machine's is taken."""
    world = SystemWorld()
    times = [await store.commit(StoreTx.database_time) for store in stores]
    if kind not in SERVERS:
        assert times == [None] * 3
    else:
        known = [time for time in times if time is not None]
        assert known == sorted(known)
        assert all(abs(time - world.wall()) < 60 * SECOND for time in known)
    before = await stores[0].commit(partial(_time, world))
    await Leases(stores[1], world, shared=True).claim(["work"])
    row = await stores[1].get(LEASES, "work")
    after = await stores[2].commit(partial(_time, world))
    assert row is not None
    assert before <= row.acquired <= after
    assert row.until == row.acquired + int(DURATION) * SECOND


def _time(world: SystemWorld, tx: StoreTx) -> int:
    found = tx.database_time()
    return world.wall() if found is None else found
