"""One record for all refused authentications of a window."""

import contextlib

from actors.testing import FakeWorld
from vault.audit.record import AuditEvent
from vault.authz.rate_limits import TokenBuckets
from vault.authz.record_limits import FailureLimits, RecordLimits, TooManyFailuresError
from vault.jobs.refused_report import AUTHENTICATIONS_REFUSED, AUTHORIZATIONS_REFUSED, RefusedReport


async def test_a_window_is_one_record() -> None:
    """With count, addresses and the busiest one; none for a quiet window."""
    events: list[AuditEvent] = []

    async def record(event: AuditEvent) -> None:
        events.append(event)

    world = FakeWorld()
    limits = FailureLimits(TokenBuckets(1, 1), TokenBuckets(100, 100), world.now)
    report = RefusedReport(AUTHENTICATIONS_REFUSED, limits, record, world)
    await report()
    assert events == []
    for ip in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"):
        with contextlib.suppress(TooManyFailuresError):
            limits.count_failure(ip)
    await report()
    await report()
    (event,) = events
    assert (event.operation, event.result, event.code) == (
        AUTHENTICATIONS_REFUSED,
        "denied",
        "too_many_failures",
    )
    assert event.ip == "192.0.2.1"
    assert event.rule == "3 refusals, 2 addresses, 2 from 192.0.2.1"


async def test_refusals_of_callers_who_are_known() -> None:
    """By caller, and who had most."""
    events: list[AuditEvent] = []

    async def record(event: AuditEvent) -> None:
        events.append(event)

    world = FakeWorld()
    limits = RecordLimits(TokenBuckets(1, 1), TokenBuckets(100, 100), world.now)
    admitted = [limits.allows(caller) for caller in ("ann", "ann", "bob", "ann")]
    assert admitted == [True, False, True, False]
    await RefusedReport(AUTHORIZATIONS_REFUSED, limits, record, world)()
    (event,) = events
    assert (event.operation, event.code, event.actor_id, event.ip) == (
        AUTHORIZATIONS_REFUSED, "too_many_refusals", "ann", "",
    )  # fmt: skip
    assert event.rule == "2 refusals, 1 callers, 2 from ann"
