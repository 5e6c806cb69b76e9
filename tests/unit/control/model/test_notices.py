"""What is told of an alert."""

from msgspec.structs import replace

from control.model.notices import Kind, covers, notice_of
from control.model.records import Alert, Severity

ALERT = Alert(
    "1", "acme", "v", "agent_offline", Severity.CRITICAL, "agent v is gone", 7, "", 0, "0f"
)


def test_a_notice_of_an_alert() -> None:
    """The alert's own words; other words and another time where they are given."""
    made = notice_of(ALERT)
    assert (made.kind, made.message, made.at, made.subject) == (Kind.RAISED, ALERT.message, 7, "0f")
    seen = notice_of(ALERT, Kind.ACKNOWLEDGED, "seen", 9)
    assert (seen.kind, seen.message, seen.at) == (Kind.ACKNOWLEDGED, "seen", 9)
    assert seen.key == made.key


def test_an_end_has_the_key_of_what_it_ends() -> None:
    """`agent_online` resolves `agent_offline`, and is as severe; of another agent it does not."""
    back = notice_of(replace(ALERT, code="agent_online", severity=Severity.INFO))
    assert back.kind is Kind.RESOLVED
    assert back.key == notice_of(ALERT).key
    assert back.origin == ("agent_offline", Severity.CRITICAL)
    assert replace(back, vault="w").key != back.key
    assert replace(back, subject="10").key != back.key


def test_severities_are_ordered() -> None:
    """Each covers itself and what is worse."""
    assert covers(Severity.WARNING, Severity.CRITICAL)
    assert covers(Severity.WARNING, Severity.WARNING)
    assert not covers(Severity.WARNING, Severity.INFO)
