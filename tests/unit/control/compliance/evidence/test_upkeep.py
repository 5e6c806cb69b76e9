"""What agents report of their upkeep."""

from collections.abc import Awaitable, Callable

import pytest

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.compliance.evidence.upkeep import grown
from control.model.compliance import Evidence, Result
from control.model.links import Command
from control.model.records import Sample
from control.services import metrics
from control.store import links
from control.store.rows import Tx
from protocols.instant import SECOND
from tests.unit.control.fleet import enrolled

Shown = Callable[[], Awaitable[dict[str, Evidence]]]


@pytest.mark.parametrize(
    ("lasts", "growth"), [([3, 5, 9], 6), ([3, 5, 2, 4], 6), ([7], 0), ([], 0), ([0, 0], 0)]
)
def test_a_total_that_begins_anew_goes_on(lasts: list[int], growth: int) -> None:
    """An agent that is started counts from 0."""
    assert grown([Sample(n, 1, v, v, v, v) for n, v in enumerate(lasts)]) == growth


async def test_reports_of_agents_are_believed_and_named(
    plane: Plane, world: FakeWorld, shown: Shown
) -> None:
    """One makes backups, the other owes rotations; silence is not evidence."""
    await enrolled(plane, world, "one", "two")
    for name in ("backups", "rotations", "keys"):
        assert (await shown())[f"upkeep.{name}"].result is Result.NOT_EVIDENCED, name
    for hour, backups in enumerate((1, 4)):
        at = world.now() // SECOND - 7200 + 3600 * hour

        def ingest(tx: Tx, at: int = at, backups: int = backups) -> None:
            figures = {"backups": backups, "backup_failures": 0, "rotations_due": 0}
            metrics.ingest(tx, "acme", "one", at, figures, now=world.now() // SECOND)
            metrics.ingest(tx, "acme", "two", at, {"rotations_due": 2}, now=at)

        await plane.store.write(ingest)
    found = await shown()
    backups_, rotations = found["upkeep.backups"], found["upkeep.rotations"]
    assert (backups_.result, backups_.exceptions) == (Result.PARTLY, ("two",))
    assert backups_.figures["backups"] == 3
    assert (rotations.result, rotations.exceptions) == (Result.PARTLY, ("two",))
    assert rotations.figures["overdue"] == 2
    now = world.now()
    done = Command("acme", "c", "one", "rotate_kek", "acme/ann", now, now, "done", now)
    await plane.store.write(lambda tx: links.put_command(tx, done))
    keys = (await shown())["upkeep.keys"]
    assert (keys.result, keys.exceptions) == (Result.PARTLY, ("two",))
