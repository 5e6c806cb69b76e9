"""The chain shows whoever edits, drops or inserts a record."""

import pytest
import sqlalchemy as sa

from control.api.plane import Plane
from control.model.operation import Operation, Origin
from control.model.people import PLATFORM
from control.services import trail
from control.store.rows import Tx
from control.store.tables import audit


async def written(plane: Plane, org: str = "acme", count: int = 5) -> None:
    """Some records."""
    op = Operation(name="t.op", request_id="r", credential=None, origin=Origin(), org=org)
    for _ in range(count):
        await plane.trail.record(op, None, "outcome", "ok")


async def test_each_organization_has_its_own(plane: Plane) -> None:
    """Numbered from 1 without a gap; what has no organization is the platform's."""
    await written(plane)
    await written(plane, "nowhere", 2)
    await written(plane, "", 1)
    assert [e.seq for e in await plane.trail.newest("acme", 0, 3)] == [5, 4, 3]
    assert [e.seq for e in await plane.trail.newest("acme", 2, 3)] == [1]
    verdict = await plane.trail.verify("acme")
    assert (verdict.size, verdict.broken_at) == (5, 0)
    assert (await plane.trail.verify(PLATFORM)).size == 3


@pytest.mark.parametrize(
    "tampering",
    [
        audit.update().where(audit.c.seq == 3).values(actor="mallory"),
        audit.delete().where(audit.c.seq == 3),
        audit.update().where(audit.c.seq == 3).values(hash=b"\0" * 32),
    ],
)
async def test_tampering_breaks_it(
    plane: Plane, tampering: sa.Update, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the record that was touched, also over pages."""
    monkeypatch.setattr(trail, "PAGE", 2)
    await written(plane)

    def change(tx: Tx) -> None:
        tx.execute(tampering)

    await plane.store.write(change)
    assert (await plane.trail.verify("acme")).broken_at == 3
