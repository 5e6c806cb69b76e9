"""What agents tell of use, as the services have it."""

import pytest

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.errors import NotFoundError, ValidationError
from control.model.usage import Kind, Span, Which
from control.services.usage import PARTS_KEPT, above, below, figures, ingest
from control.store.usage import DAY, HOUR
from protocols.instant import SECOND
from protocols.link import messages as m
from tests.unit.control.fleet import enrolled
from tests.unit.control.used import named, report


async def tell(plane: Plane, world: FakeWorld, told: m.Usage) -> bool:
    """What v1 reports."""
    now = world.now() // SECOND
    return await plane.store.write(lambda tx: ingest(tx, "acme", "v1", told, now=now))


async def test_pages_carry_on(plane: Plane, world: FakeWorld) -> None:
    """`next` leads to the next page, and is empty at the end; another text is refused."""
    await enrolled(plane, world, "v1")
    now = world.now() // SECOND
    await tell(plane, world, report(now, now + 1, *(named(f"s{n}", 9 - n) for n in range(5))))
    span, after, seen = Span("acme", "v1", 0, 2**40), "", []
    while True:
        rows, after = await plane.usage.top(span, Kind.SECRET, after, 2)
        seen += [row.count for row in rows]
        if not after:
            break
    assert seen == [9, 8, 7, 6, 5]
    wanted = plane.usage.wanted(Which.ROTATION, days=0, factor=10)
    rows_, after = await plane.usage.secrets(span, wanted, "", 3)
    more, end = await plane.usage.secrets(span, wanted, after, 3)
    assert (len({row.secret for row in (*rows_, *more)}), end) == (5, "")
    for bad in ("x", "1", "1~v1", f"{10**20}~v1~x"):
        with pytest.raises(ValidationError):
            await plane.usage.top(span, None, bad, 2)


async def test_an_unknown_agent_is_not_found(plane: Plane) -> None:
    """Whatever is asked of it."""
    span = Span("acme", "v9", 0, 1)
    wanted = plane.usage.wanted(Which.ALL, days=1, factor=2)
    for ask in (
        plane.usage.looks("acme", "v9"),
        plane.usage.operations(span),
        plane.usage.curve(span, HOUR),
        plane.usage.top(span, None, "", 1),
        plane.usage.secrets(span, wanted, "", 1),
    ):
        with pytest.raises(NotFoundError):
            await ask


async def test_reports_of_another_time_are_not_taken(plane: Plane, world: FakeWorld) -> None:
    """Older than what is remembered of reports, or from the future."""
    await enrolled(plane, world, "v1")
    now = world.now() // SECOND
    assert not await tell(plane, world, report(now - PARTS_KEPT, now))
    assert not await tell(plane, world, report(now + HOUR, now + HOUR + 1))
    assert await tell(plane, world, report(now - PARTS_KEPT + 1, now))


async def test_old_counts_go(plane: Plane, world: FakeWorld) -> None:
    """Hours become days after a week, days go after their time; sweeping again changes nothing."""
    await enrolled(plane, world, "v1")
    now = world.now() // SECOND
    await tell(plane, world, report(now, now + 1, named("a", 5)))
    span = Span("acme", "", 0, 2**40)
    for days, hours, sums in ((1, 1, 1), (8, 0, 1), (8, 0, 1), (401, 0, 0)):
        world.advance(days * DAY)
        await plane.usage.sweep()
        assert len(await plane.usage.curve(span, HOUR)) == hours
        assert len(await plane.usage.curve(span, DAY)) == sums


async def test_a_look_is_kept_as_series_too(plane: Plane, world: FakeWorld) -> None:
    """So that rotation debt can be seen to grow."""
    await enrolled(plane, world, "v1")
    now = world.now() // SECOND
    seen = m.Secrets(
        at=now * 1000, total=9, never_read=2, expired=1, idle=(1, 0, 0, 1, 2, 3, 4),
        age=(0, 0, 0, 0, 0, 0, 9), expires=(1, 1, 1, 1, 0, 0, 0),
    )  # fmt: skip
    await tell(plane, world, report(now, now + 1, secrets=seen))
    assert await plane.metrics.names("acme", "v1") == sorted(figures(seen))
    assert figures(seen)["secrets_idle_90d"] == above(seen.idle, 90) == 9
    assert figures(seen)["secrets_expiring_30d"] == below(seen.expires, 30) == 3
