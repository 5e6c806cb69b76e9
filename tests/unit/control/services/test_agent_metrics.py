"""Figures by themselves, by the minute and by the hour; bounded, and late ones find their place."""

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.errors import NotFoundError, ValidationError
from control.model.records import Sample
from control.services.agent_metrics import (
    MAX_CLOCK_LEAD,
    MAX_SERIES,
    SLOT_SECONDS,
    accepted_time,
    ingest_figures,
)
from control.services.key_rotation import MAX_SILENCE
from protocols.instant import SECOND
from tests.unit.control.fleet import enrolled


async def put(core: Core, world: FakeWorld, at: int, **figures: float) -> int:
    """What v1 says."""
    now = world.now() // SECOND
    return await core.store.write(lambda tx: ingest_figures(tx, "acme", "v1", at, figures, now=now))


async def query(core: Core, resolution: int) -> list[Sample]:
    """All of `cpu`."""
    return await core.agents.metrics.query_samples(
        "acme", "v1", "cpu", resolution=resolution, since=0, until=2**40
    )


async def test_three_resolutions(core: Core, world: FakeWorld) -> None:
    """The late one is in its hour, and one from the future is now's."""
    await enrolled(core, world, "v1")
    hour = world.now() // SECOND // 3600 * 3600
    for offset, value in ((0, 4.0), (59, 2.0), (60, 9.0), (-7200, 1.0)):
        await put(core, world, hour + offset, cpu=value)
    assert len(await query(core, 0)) == 4
    assert await query(core, 3600) == [
        Sample(hour - 7200, 1, 1.0, 1.0, 1.0, 1.0),
        Sample(hour, 3, 15.0, 2.0, 9.0, 9.0),
    ]
    assert [s.count for s in await query(core, 60)] == [1, 2, 1]
    await put(core, world, hour + 10**9, cpu=1.0)
    assert (await query(core, 0))[-1].at == world.now() // SECOND + 300


async def test_series_are_bounded(core: Core, world: FakeWorld) -> None:
    """An agent that invents names gets no further than this."""
    await enrolled(core, world, "v1")
    figures = {f"x{number}": 1.0 for number in range(MAX_SERIES + 10)}
    assert await put(core, world, 60, **figures) == MAX_SERIES
    assert await put(core, world, 60, another=1.0) == 0


async def test_old_ones_go_by_resolution(core: Core, world: FakeWorld) -> None:
    """Single figures first, hours last."""
    await enrolled(core, world, "v1")
    await put(core, world, world.now() // SECOND, cpu=1.0)
    for seconds, left in (
        (7 * 3600, (0, 1, 1)),
        (15 * 86_400, (0, 0, 1)),
        (400 * 86_400, (0, 0, 0)),
    ):
        world.advance(seconds)
        await core.agents.metrics.delete_older()
        assert tuple([len(await query(core, r)) for r in (0, 60, 3600)]) == left


async def test_what_is_not_there(core: Core, world: FakeWorld) -> None:
    """No agent and no resolution are faults; an agent that has measured nothing yet is none."""
    with pytest.raises(NotFoundError):
        await query(core, 60)
    await enrolled(core, world, "v1")
    with pytest.raises(NotFoundError):
        await core.agents.metrics.list_series("other", "v1")
    with pytest.raises(ValidationError):
        await query(core, 61)
    assert await query(core, 60) == []
    assert await core.agents.metrics.list_series("acme", "v1") == []


def test_a_moment_is_taken_once_and_in_its_order() -> None:
    """Weeks offline are told in their order; no other time is an agent's to choose."""
    now, away = 1_800_000_000, MAX_SILENCE // SECOND
    assert accepted_time(now, 0, now) == now
    assert accepted_time(now + SLOT_SECONDS - 1, now, now + SLOT_SECONDS) is None
    assert accepted_time(now + SLOT_SECONDS, now, now + SLOT_SECONDS) == now + SLOT_SECONDS
    assert accepted_time(now - 1, now, now + SLOT_SECONDS) is None
    assert accepted_time(now - away, 0, now) == now - away
    assert accepted_time(now - away - 1, 0, now) is None
    backlog = range(now - 30 * 86_400, now, 60)
    assert all(accepted_time(at, at - 60, now) == at for at in backlog)


def test_a_moment_to_come_counts_as_now() -> None:
    """As nearly as clocks agree; and when it was ours that was ahead, nobody waits for it."""
    now = 1_800_000_000
    assert accepted_time(2**62, 0, now) == now + MAX_CLOCK_LEAD
    assert accepted_time(now, now + MAX_CLOCK_LEAD, now) is None
    assert accepted_time(now, now + 86_400, now) == now


async def test_what_no_agent_can_have_measured_is_not_taken(core: Core, world: FakeWorld) -> None:
    """It would bend the curve of its organization; the rest of the report is taken."""
    await enrolled(core, world, "v1")
    at = world.now() // SECOND
    wrong = {
        "requests": 1e20, "secrets": -1.0, "a": float("nan"), "b": float("inf"),
        "store_bytes": 2.0**60, "sealed": 2.0, "request_duration_sum_us": 2.0**60,
    }  # fmt: skip
    right = {"cpu": 4.0, "disk_free_bytes": 2.0**50, "cpu_permille": 64_000.0}
    assert await put(core, world, at, **wrong, **right) == len(right)
    assert await core.agents.metrics.list_series("acme", "v1") == sorted(right)
