"""Policies in versions: written, compared, pointed, refreshed."""

from functools import partial

import pytest

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.errors import NotFoundError, ValidationError
from control.model.documents import Document
from control.model.policies import Plan, Target
from control.store.lease import SoleLease
from tests.unit.control.fleet import enrolled


async def test_versions_are_numbered_and_compared(plane: Plane) -> None:
    """From 1 on, never changed; a diff shows the lines."""
    for text in ("one", "two"):
        await plane.policies.write("acme", "p", Document(description=text), text, "ann")
    assert [v.version for v in await plane.policies.versions("acme", "p", 9)] == [2, 1]
    diff = await plane.policies.diff("acme", "p", 1, 2)
    assert [line for line in diff if "one" in line or "two" in line] == [
        '-  "description": "one",',
        '+  "description": "two",',
    ]
    with pytest.raises(NotFoundError):
        await plane.policies.version("acme", "p", 3)
    with pytest.raises(NotFoundError):
        await plane.policies.get("other", "p")
    with pytest.raises(ValidationError):
        await plane.policies.write("acme", "p", Document(name="q"), "", "ann")


async def test_a_target_is_one_of_three(plane: Plane) -> None:
    """None or two of them is refused."""
    await plane.policies.write("acme", "p", Document(), "", "ann")
    for target in (Target(), Target(vault="v", all=True)):
        with pytest.raises(ValidationError, match="target_invalid"):
            await plane.policies.point("acme", "p", (target,))


async def test_refreshing_again_changes_nothing(plane: Plane, world: FakeWorld) -> None:
    """It only does what is missing."""
    await enrolled(plane, world, "v1")
    await plane.policies.write("acme", "p", Document(), "", "ann")
    await plane.policies.point("acme", "p", (Target(all=True),))
    assert await plane.policies.refresh("acme") == 0
    assert await plane.policies.assignment("acme", "v1") is None


async def test_status_is_read_by_the_page(plane: Plane, world: FakeWorld) -> None:
    """Behind a name, so many; a policy that is not there is not found."""
    await enrolled(plane, world, "v1", "v2", "v3")
    await plane.policies.write("acme", "p", Document(), "", "ann")
    await plane.policies.point("acme", "p", (Target(all=True),))
    await plane.rollouts.start("acme", "p", 1, Plan(), "ann")
    await plane.policies.catch_up()
    found = await plane.policies.status("acme", "p", after="v1", limit=1)
    assert [row.vault for row in found] == ["v2"]
    assert len(await plane.policies.status("acme")) == 3
    with pytest.raises(NotFoundError):
        await plane.policies.status("acme", "q")


async def test_a_refresh_gives_way_to_a_later_one(plane: Plane, world: FakeWorld) -> None:
    """Where processes share: what was read before another one read would put back the old."""

    class Shared(SoleLease):
        """As on PostgreSQL with Redis."""

        shared = True

    plane.store.lease = Shared()
    await enrolled(plane, world, "v1")
    here = plane.policies
    old = await here._turn("acme")
    assert await here.refresh("acme") == 0  # as another process does
    late = partial(here._assign, "acme", {"v1": {"p": 1}}, world.now(), old)
    assert await plane.store.write(late) is None
    assert await here.assignment("acme", "v1") is None
    assert await here._turn("other") == 1
    assert await here._turn("acme") == old + 2
