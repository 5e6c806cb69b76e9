"""Forecasts of a fleet: added up day by day, told with what they are made of."""

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.errors import NotFoundError
from control.services import agent_metrics, usage
from control.services.capacity import TOO_LITTLE_DATA, FigureForecast
from control.store.usage import DAY
from protocols.instant import SECOND
from tests.unit.control.fleet import enrolled
from tests.unit.control.used import report


async def live(core: Core, world: FakeWorld, days: int) -> None:
    """Two agents that grow by 1,000 bytes and 1 secret a day each, 240 reads a day."""
    await enrolled(core, world, "v1", "v2")
    for day in range(days):
        now = world.now() // SECOND
        for vault in ("v1", "v2"):
            figures = {
                "secrets": 10.0 + day,
                "store_bytes": 1000.0 * day,
                "disk_free_bytes": 50_000.0,
            }
            told = report(now, now + 1)
            await core.store.write(
                lambda tx, v=vault, f=figures, n=now: agent_metrics.ingest_figures(
                    tx, "acme", v, n, f, now=n
                )  # type: ignore[misc]
            )
            await core.store.write(
                lambda tx, v=vault, t=told, n=now: usage.ingest_usage(tx, "acme", v, t, now=n)  # type: ignore[misc]
            )
        world.advance(DAY)
        await core.usage.capacity.sum_up_yesterday()
        await (
            core.usage.capacity.sum_up_yesterday()
        )  # by another process, or again: nothing is added twice


async def named(core: Core, vault: str = "", days: int = 30) -> dict[str, FigureForecast]:
    """By name."""
    return {one.name: one for one in await core.usage.capacity.list_forecasts("acme", vault, days)}


async def test_a_fleet_is_the_sum_of_its_agents(core: Core, world: FakeWorld) -> None:
    """Of each whole day; today is not over and does not count."""
    await live(core, world, 20)
    found = await named(core)
    assert found["secrets"].per_day == pytest.approx(2)
    assert [value for _, value in found["secrets"].history] == [20 + 2 * d for d in range(20)]
    assert found["store_bytes"].unit == "bytes"
    assert found["requests"].history[0][1] == pytest.approx(20 / 24)
    band = found["secrets"].band
    assert band[-1].day - band[0].day == 30
    assert band[-1].expected == pytest.approx(20 + 2 * 50)
    assert found["store_bytes"].full_at == 0  # disks of several machines are not one disk


async def test_one_agent_knows_when_its_disk_is_full(core: Core, world: FakeWorld) -> None:
    """50,000 bytes at 1,000 a day: fifty days from now."""
    await live(core, world, 20)
    found = await named(core, "v1")
    assert found["store_bytes"].full_at == (world.now() // SECOND // DAY + 50) * DAY
    assert found["secrets"].full_at == 0
    with pytest.raises(NotFoundError):
        await core.usage.capacity.list_forecasts("acme", "v9", 30)


async def test_a_young_fleet_gets_no_forecast(core: Core, world: FakeWorld) -> None:
    """It is told why, and shown what there is."""
    await live(core, world, 3)
    one = (await named(core))["secrets"]
    assert (one.reason, one.band, len(one.history)) == (TOO_LITTLE_DATA, (), 3)
    assert (await named(core))["audit_bytes"].reason == TOO_LITTLE_DATA
