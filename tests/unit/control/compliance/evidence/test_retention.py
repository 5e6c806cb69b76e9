"""What can be shown about keeping."""

from collections.abc import Awaitable, Callable

from control.core import Core
from control.model.compliance import Evidence, Result
from control.model.retention import Kind

Shown = Callable[[], Awaitable[dict[str, Evidence]]]


async def test_six_years_are_six_years(core: Core, shown: Shown) -> None:
    """For ever is enough, a year is not; holds are counted while they are in force."""
    found = await shown()
    assert found["retention.six-years"].result is Result.MET
    await core.compliance.retention.set_rule("acme", Kind.TRAIL, 366)
    hold = await core.compliance.retention.place_hold("acme", "", (0, 0), "case", "acme/ann")
    found = await shown()
    assert found["retention.six-years"].result is Result.GAP
    assert found["retention.rules"].figures["trail_days"] == 366
    assert found["retention.rules"].figures["holds"] == 1
    await core.compliance.retention.lift_hold("acme", hold.id, "over", "acme/ann")
    assert (await shown())["retention.rules"].figures["holds"] == 0
