"""What is told of an alert."""

from msgspec.structs import replace

from control.model.conditions import format_duration
from control.model.notices import Kind, alert_notice, resolution_notice
from control.model.records import Alert, AlertState, Severity, is_at_least
from protocols.instant import SECOND

ALERT = Alert(
    "1", "acme", "v", "agent_offline", Severity.CRITICAL, "agent v is gone", 7, "", 0, "0f"
)


def test_a_notice_of_an_alert() -> None:
    """The alert's own words; other words and another time where they are given."""
    made = alert_notice(ALERT)
    assert (made.kind, made.message, made.at, made.subject) == (Kind.RAISED, ALERT.message, 7, "0f")
    seen = alert_notice(ALERT, Kind.ACKNOWLEDGED, "seen", 9)
    assert (seen.kind, seen.message, seen.at) == (Kind.ACKNOWLEDGED, "seen", 9)
    assert seen.key == made.key


def test_an_end_has_the_key_of_its_start() -> None:
    """It says how long it lasted and wakes nobody; of another agent it is another one."""
    over = replace(ALERT, ended_at=7 + 90 * SECOND)
    back = resolution_notice(over)
    assert (back.kind, back.at, back.began_at) == (Kind.RESOLVED, over.ended_at, 7)
    assert back.message == "agent v is heard again (after 1 min 30 s)"
    assert (back.severity, back.effective_severity) == (Severity.CRITICAL, Severity.INFO)
    assert back.key == alert_notice(ALERT).key
    assert replace(back, vault="w").key != back.key
    assert replace(back, subject="10").key != back.key


def test_the_end_of_what_has_no_words_of_its_own() -> None:
    """Its message, as over."""
    over = replace(ALERT, code="lockout", message="5 wrong passwords", ended_at=8)
    assert resolution_notice(over).message == "over: 5 wrong passwords (after less than a second)"


def test_lengths_have_two_units() -> None:
    """The largest that are not 0."""
    lengths = (59, 3600, 90_061, 86_401)
    assert [format_duration(n * SECOND) for n in lengths] == ["59 s", "1 h", "1 d 1 h", "1 d 1 s"]


def test_an_alert_is_firing_acknowledged_or_resolved() -> None:
    """Over counts more than seen."""
    seen = replace(ALERT, acknowledged_at=8)
    states = [one.state for one in (ALERT, seen, replace(seen, ended_at=9))]
    assert states == [AlertState.FIRING, AlertState.ACKNOWLEDGED, AlertState.RESOLVED]


def test_severities_are_ordered() -> None:
    """Each covers itself and what is worse."""
    assert is_at_least(Severity.WARNING, Severity.CRITICAL)
    assert is_at_least(Severity.WARNING, Severity.WARNING)
    assert not is_at_least(Severity.WARNING, Severity.INFO)
