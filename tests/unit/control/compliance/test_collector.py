"""All evidence is collected, one subject after the other, and each is told."""

from actors.testing import FakeWorld
from control.compliance.collector import STEP_COUNT
from control.compliance.evidence.assessment import Period
from control.core import Core
from tests.unit.control.compliance.test_frameworks import EVIDENCE


async def test_every_subject_is_there(core: Core, world: FakeWorld) -> None:
    """What frameworks name is what there is."""
    steps: list[int] = []

    async def told(step: int) -> None:
        steps.append(step)

    span = Period("acme", 1, world.now(), world.now())
    found = await core.compliance.reports._collector.collect_evidence(span, told)
    assert set(found) == EVIDENCE
    assert steps == list(range(1, STEP_COUNT + 1))
