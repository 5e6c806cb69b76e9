"""What a newer message makes of an older one."""

from msgspec.structs import replace

from protocols.link import messages as m
from protocols.link import vocabulary as words
from tests.unit.vault.control_link.samples import fixed
from vault.control_link.outbox import merge_key, merge_messages, replaces_at_once

ALERT = m.Alert(
    alert_id=fixed("1"),
    code=words.AlertCode.LOCKOUT,
    severity=words.Severity.WARNING,
    raised_at=1,
    subject=bytes(16),
    count=2,
)
STATUS = m.PolicyStatus(
    version=3,
    bundle_hash=bytes(32),
    phase=words.PolicyPhase.APPLIED,
    reason=words.PolicyReason.NONE,
    narrowed=0,
    at=1,
)
RESULT = m.CommandResult(command_id=fixed("2"), outcome=words.CommandOutcome.DONE, at=1)


def test_only_what_is_about_the_same_has_one_topic() -> None:
    """Alerts by code, weight and subject; statuses by version; answers to commands stand alone."""
    assert merge_key(ALERT) == merge_key(replace(ALERT, alert_id=fixed("3"), raised_at=9))
    assert merge_key(ALERT) != merge_key(replace(ALERT, severity=words.Severity.CRITICAL))
    assert merge_key(ALERT) != merge_key(replace(ALERT, subject=fixed("thing")))
    assert merge_key(STATUS) != merge_key(replace(STATUS, version=4))
    assert merge_key(RESULT) == ""
    assert not replaces_at_once(ALERT)


def test_alerts_add_up_and_a_status_gives_way() -> None:
    """No occurrence is lost; of a bundle its newest status counts."""
    newer = replace(ALERT, alert_id=fixed("4"), raised_at=5, count=3)
    assert merge_messages(ALERT, newer) == replace(newer, count=5)
    later = replace(STATUS, phase=words.PolicyPhase.REFUSED)
    assert merge_messages(STATUS, later) == later
