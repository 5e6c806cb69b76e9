"""A pace for the records of who was not let in."""

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.errors import (
    AuthenticationError,
    ConflictError,
    ControlError,
    RateLimitError,
    UnavailableError,
    ValidationError,
)
from control.model.people import PLATFORM
from control.services.refusals import MAX_CLIENTS, AnonymousRefusalLog, RefusalLog

REFUSED = AuthenticationError("token_refused", "no")


def told(refusals: RefusalLog, ip: str, count: int) -> int:
    """How many of so many refusals get a record."""
    return sum(refusals.should_record(REFUSED, ip) for _ in range(count))


async def test_each_client_and_all_of_them(core: Core, world: FakeWorld) -> None:
    """One that hammers keeps no record from the next; with an IPv6 network one has one share."""
    refusals = RefusalLog(core.audit.log, world, "test.refused")
    assert told(refusals, "192.0.2.1", 5) == 5
    assert told(refusals, "2001:db8::1", 3) == 3
    assert told(refusals, "2001:db8::2", 9) == 2  # ten at once of all
    world.advance(60)
    assert told(refusals, "192.0.2.2", 9) == 2
    world.advance(3600)
    assert told(refusals, "192.0.2.1", 99) == 10
    world.advance(3600)
    assert told(refusals, "2001:db8::3", 99) == 10
    many = sum(told(refusals, f"2001:db8:{n:x}::1", 1) for n in range(3 * MAX_CLIENTS))
    assert many == 0
    world.advance(3600)
    await refusals.record_suppressed()
    [event] = await core.audit.log.newest_events(PLATFORM, 0, 9)
    assert event.detail["count"] > 3 * MAX_CLIENTS
    assert event.detail["clients"] <= MAX_CLIENTS + 1


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (REFUSED, True),
        (ConflictError("agent_exists", "x"), True),
        (ValidationError("request_invalid", "x"), False),
        (UnavailableError("clock_behind", "x"), False),
        (RateLimitError("too_many_joins", "x"), False),
    ],
)
async def test_what_is_a_refusal(
    core: Core, world: FakeWorld, error: ControlError, *, counts: bool
) -> None:
    """Noise and what is asked again later are none."""
    refusals = RefusalLog(core.audit.log, world, "test.refused")
    assert refusals.should_record(error, "192.0.2.1") is counts


async def test_a_count_that_could_not_be_told_is_told_later(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what came meanwhile."""
    refusals = RefusalLog(core.audit.log, world, "test.refused")
    told(refusals, "192.0.2.1", 15)

    async def broken(*_: object) -> None:
        raise UnavailableError("store_unavailable", "not now")

    with monkeypatch.context() as patched:
        patched.setattr(core.audit.log, "record", broken)
        with pytest.raises(UnavailableError):
            await refusals.record_suppressed()
    told(refusals, "192.0.2.1", 1)
    await refusals.record_suppressed()
    [event] = await core.audit.log.newest_events(PLATFORM, 0, 9)
    assert event.detail["count"] == 6


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
