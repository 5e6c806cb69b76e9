"""One record for all refused authentications of a window."""

import contextlib

from actors.testing import FakeWorld
from vault.audit.record import AuditEvent
from vault.authz.failures import FailureLimits, TooManyFailuresError
from vault.work.failures import OPERATION, FailureReport


async def test_a_window_is_one_record() -> None:
    """With count, addresses and the busiest one; none for a quiet window."""
    events: list[AuditEvent] = []

    async def record(event: AuditEvent) -> None:
        events.append(event)

    world = FakeWorld()
    limits = FailureLimits(1, 1, 100, world.now)
    report = FailureReport(limits, record, world)
    await report()
    assert events == []
    for ip in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"):
        with contextlib.suppress(TooManyFailuresError):
            limits.fail(ip)
    await report()
    await report()
    (event,) = events
    assert (event.operation, event.result, event.code) == (
        OPERATION,
        "denied",
        "too_many_failures",
    )
    assert event.ip == "192.0.2.1"
    assert event.rule == "3 refusals, 2 addresses, 2 from 192.0.2.1"
