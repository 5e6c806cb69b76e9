"""A pace for each operation that strangers are refused at."""

from actors.testing import FakeWorld
from control.core import Core
from control.model.people import PLATFORM
from control.services.anonymous_refusals import AnonymousRefusalLog


async def test_a_flood_of_one_hides_no_other(core: Core, world: FakeWorld) -> None:
    """And what is beyond is told under the name of what it was."""
    strangers = AnonymousRefusalLog(core.audit.log, world)
    told = [strangers.try_reserve("oidc.callback", "192.0.2.1") for _ in range(30)]
    assert told == [True] * 10 + [False] * 20
    assert strangers.try_reserve("sessions.login", "192.0.2.1")
    await strangers.record_suppressed()
    [event] = await core.audit.log.newest_events(PLATFORM, 0, 9)
    assert (event.operation, event.code) == ("oidc.callback", "too_many_refusals")
    assert event.detail == {"count": 20, "clients": 1, "most": 20}
    await strangers.record_suppressed()
    assert len(await core.audit.log.newest_events(PLATFORM, 0, 9)) == 1
