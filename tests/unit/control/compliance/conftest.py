"""A control plane with something to show."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.model.compliance import Evidence, ReportRow
from control.model.operation import Operation, Origin
from protocols.instant import SECOND
from tests.unit.control.conftest import ROOT

DAY = 86_400 * SECOND


async def noted(core: Core, name: str, result: str = "ok", **more: Any) -> None:
    """One record in the trail of acme."""
    op = Operation(
        name=name, request_id="r", credential=None, origin=Origin("::1"), org="acme", **more
    )
    await core.audit.log.record(op, ROOT, "outcome", result)


async def asked(core: Core, *frameworks: str, days: int = 30) -> ReportRow:
    """Waiting to be made."""
    now = core.world.now()
    period = (now - days * DAY, now)
    return await core.compliance.reports.request_report(
        "acme", "Q", frameworks or ("soc2",), period=period, by="acme/ann"
    )


async def made(core: Core, *frameworks: str, days: int = 30) -> tuple[ReportRow, bytes]:
    """A report, and its file."""
    row = await asked(core, *frameworks, days=days)
    await core.compliance.reports.make_waiting()
    return await core.compliance.reports.get_report(
        "acme", row.id
    ), await core.compliance.reports.read_report("acme", row.id)


@pytest.fixture
def shown(core: Core, world: FakeWorld) -> Callable[[], Any]:
    """All evidence as of now, by id."""
    from control.compliance.evidence.assessment import Period

    async def collect() -> dict[str, Evidence]:
        async def told(_: int) -> None:
            pass

        span = Period("acme", world.now() - 30 * DAY, world.now() + SECOND, world.now())
        return await core.compliance.reports._collector.collect_evidence(span, told)

    return collect
