"""A control plane with something to show."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.model.compliance import Asked, Evidence
from control.model.operation import Operation, Origin
from protocols.instant import SECOND
from tests.unit.control.conftest import ROOT

DAY = 86_400 * SECOND


async def noted(plane: Plane, name: str, result: str = "ok", **more: Any) -> None:
    """One record in the trail of acme."""
    op = Operation(
        name=name, request_id="r", credential=None, origin=Origin("::1"), org="acme", **more
    )
    await plane.trail.record(op, ROOT, "outcome", result)


async def asked(plane: Plane, *frameworks: str, days: int = 30) -> Asked:
    """Waiting to be made."""
    now = plane.world.now()
    period = (now - days * DAY, now)
    return await plane.reports.ask(
        "acme", "Q", frameworks or ("soc2",), period=period, by="acme/ann"
    )


async def made(plane: Plane, *frameworks: str, days: int = 30) -> tuple[Asked, bytes]:
    """A report, and its file."""
    row = await asked(plane, *frameworks, days=days)
    await plane.reports.tick()
    return await plane.reports.get("acme", row.id), await plane.reports.body("acme", row.id)


@pytest.fixture
def shown(plane: Plane, world: FakeWorld) -> Callable[[], Any]:
    """All evidence as of now, by id."""
    from control.compliance.evidence.common import Span

    async def collect() -> dict[str, Evidence]:
        async def told(_: int) -> None:
            pass

        span = Span("acme", world.now() - 30 * DAY, world.now() + SECOND, world.now())
        return await plane.reports._collector.collect(span, told)

    return collect
