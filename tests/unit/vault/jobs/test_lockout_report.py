"""vault.jobs.refused_report: how many credentials were locked out, once a turn."""

from actors.testing import FakeWorld
from protocols.link.vocabulary import AlertCode
from vault.authn.lockout import DURATION, FAILURES, Lockout
from vault.jobs.refused_report import LockoutReport


async def test_lockouts_are_one_alert_that_says_how_many() -> None:
    """Whoever tries on while locked out begins no other one; nothing new is no alert."""
    alerts: list[tuple[AlertCode, int]] = []
    lockout, now = Lockout(), FakeWorld().now()
    report = LockoutReport(lambda: lockout.begun, lambda *alert: alerts.append(alert))
    for key in (("a", "10.0.0.1"), ("b", "10.0.0.1")):
        for _ in range(FAILURES - 1):
            lockout.record_failure(key, now)
    await report()
    assert alerts == []
    for key in (("a", "10.0.0.1"), ("b", "10.0.0.1")):
        for _ in range(FAILURES):
            lockout.record_failure(key, now)
    await report()
    await report()
    assert alerts == [(AlertCode.LOCKOUT, 2)]
    for _ in range(FAILURES):
        lockout.record_failure(("a", "10.0.0.1"), now + DURATION)
    await report()
    assert alerts[1:] == [(AlertCode.LOCKOUT, 1)]
