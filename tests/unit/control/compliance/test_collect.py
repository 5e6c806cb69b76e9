"""All evidence is collected, one subject after the other, and each is told."""

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.compliance.collect import STEPS
from control.compliance.evidence.common import Span
from tests.unit.control.compliance.test_frameworks import EVIDENCE


async def test_every_subject_is_there(plane: Plane, world: FakeWorld) -> None:
    """What frameworks name is what there is."""
    steps: list[int] = []

    async def told(step: int) -> None:
        steps.append(step)

    span = Span("acme", 1, world.now(), world.now())
    found = await plane.reports._collector.collect(span, told)
    assert set(found) == EVIDENCE
    assert steps == list(range(1, STEPS + 1))
