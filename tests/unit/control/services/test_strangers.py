"""A pace for each operation that strangers are refused at."""

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.model.people import PLATFORM
from control.services.strangers import Strangers


async def test_a_flood_of_one_hides_no_other(plane: Plane, world: FakeWorld) -> None:
    """And what is beyond is told under the name of what it was."""
    strangers = Strangers(plane.trail, world)
    told = [strangers.has_room("oidc.callback", "192.0.2.1") for _ in range(30)]
    assert told == [True] * 10 + [False] * 20
    assert strangers.has_room("sessions.login", "192.0.2.1")
    await strangers.tell()
    [event] = await plane.trail.newest(PLATFORM, 0, 9)
    assert (event.operation, event.code) == ("oidc.callback", "too_many_refusals")
    assert event.detail == {"count": 20, "clients": 1, "most": 20}
    await strangers.tell()
    assert len(await plane.trail.newest(PLATFORM, 0, 9)) == 1
