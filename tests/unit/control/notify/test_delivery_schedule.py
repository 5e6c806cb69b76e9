"""What is told, and when."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from control.model.notices import ChannelTerms, Kind, LastNotice, Notice, Quiet
from control.model.records import Severity
from control.notify import delivery_schedule
from control.notify.delivery_schedule import (
    due_at,
    is_news,
    is_repeat,
    is_wanted,
    not_before,
    quiet_until,
    retry_delay,
)
from protocols.instant import SECOND

NIGHT = Quiet("22:00", "07:00", "Europe/Berlin")
NOON = Quiet("12:00", "13:00", "Europe/Berlin")
ALERT = Notice(
    "1", "acme", Kind.RAISED, "agent_offline", Severity.CRITICAL, "v", "", "agent v is gone", 1000
)
WARNING = replace(ALERT, code="disk_low", severity=Severity.WARNING)
NOBODY: frozenset[str] = frozenset()


def at(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> int:
    """Unix nanoseconds of a local time."""
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return int(local.timestamp()) * SECOND


def test_wants() -> None:
    """Severity, kind, code, tags and vaults: each has to fit."""
    assert is_wanted(ChannelTerms(), ALERT, NOBODY)
    assert not is_wanted(ChannelTerms(), replace(ALERT, severity=Severity.INFO), NOBODY)
    assert is_wanted(
        ChannelTerms(severity=Severity.INFO), replace(ALERT, severity=Severity.INFO), NOBODY
    )
    assert not is_wanted(ChannelTerms(), replace(ALERT, kind=Kind.ACKNOWLEDGED), NOBODY)
    assert is_wanted(ChannelTerms(events=("agent_offline",)), ALERT, NOBODY)
    assert not is_wanted(ChannelTerms(events=("disk_low",)), ALERT, NOBODY)
    assert is_wanted(ChannelTerms(tags=("prod", "eu")), ALERT, frozenset({"eu"}))
    assert not is_wanted(ChannelTerms(tags=("prod",)), ALERT, frozenset({"eu"}))
    assert is_wanted(ChannelTerms(vaults=("v",)), ALERT, NOBODY)
    assert is_wanted(ChannelTerms(vaults=("v",), tags=("prod",)), ALERT, NOBODY)
    assert not is_wanted(ChannelTerms(tags=("prod",)), replace(ALERT, vault=""), NOBODY)


def test_an_end_goes_where_the_start_went() -> None:
    """Whatever the channel wants by now; one that tells ends alone gets those that it wants."""
    back = replace(ALERT, kind=Kind.RESOLVED)
    told = LastNotice("acme", "c", ALERT.key, Kind.RAISED, 1000, 0)
    strict = ChannelTerms(severity=Severity.CRITICAL, events=("disk_low",), tags=("prod",))
    assert is_wanted(strict, back, NOBODY)
    assert is_news(strict, told, back)
    assert is_news(strict, replace(told, kind=Kind.ACKNOWLEDGED), back)
    assert not is_news(strict, None, back)
    assert not is_news(strict, replace(told, kind=Kind.RESOLVED), back)
    assert not is_wanted(ChannelTerms(kinds=(Kind.RAISED,)), back, NOBODY)
    ends = ChannelTerms(kinds=(Kind.RESOLVED,))
    assert is_wanted(ends, back, NOBODY)
    assert is_news(ends, None, back)
    assert not is_wanted(replace(ends, events=("disk_low",)), back, NOBODY)


def test_known_within_the_window_until_something_else_is() -> None:
    """The window counts from when it was told; an end in between makes it news again."""
    told = LastNotice("acme", "c", ALERT.key, Kind.RAISED, 1000, 0)
    later = replace(ALERT, at=1000 + 599 * SECOND)
    assert is_repeat(told, later, 600)
    assert not is_repeat(told, replace(later, at=1000 + 600 * SECOND), 600)
    assert not is_repeat(replace(told, kind=Kind.RESOLVED), later, 600)
    assert not is_repeat(None, later, 600)
    assert not is_repeat(told, ALERT, 0)


def test_digest() -> None:
    """What is not urgent waits, together with what waits already."""
    terms = ChannelTerms(digest=3600)
    assert due_at(terms, ALERT, 5, None) == 5
    assert due_at(terms, WARNING, 5, None) == 5 + 3600 * SECOND
    assert due_at(terms, WARNING, 5, 99) == 99
    assert due_at(terms, WARNING, 100, 99) == 100 + 3600 * SECOND
    assert due_at(ChannelTerms(), WARNING, 5, 99) == 5
    assert due_at(replace(terms, urgent=None), ALERT, 5, None) == 5 + 3600 * SECOND


def test_quiet_hours() -> None:
    """Over midnight and within a day; before, at, and after their ends."""
    assert quiet_until(NIGHT, at("2026-11-24T21:59:59")) == at("2026-11-24T21:59:59")
    assert quiet_until(NIGHT, at("2026-11-24T22:00:00")) == at("2026-11-25T07:00:00")
    assert quiet_until(NIGHT, at("2026-11-25T06:59:59")) == at("2026-11-25T07:00:00")
    assert quiet_until(NIGHT, at("2026-11-25T07:00:00")) == at("2026-11-25T07:00:00")
    assert quiet_until(NOON, at("2026-11-25T12:30:00")) == at("2026-11-25T13:00:00")
    assert quiet_until(NOON, at("2026-11-25T11:30:00")) == at("2026-11-25T11:30:00")


def test_quiet_hours_when_the_clock_is_changed() -> None:
    """The end is the local time that was said, in either half of a year and twice in one night."""
    spring = quiet_until(NIGHT, at("2026-03-28T23:00:00"))
    assert (spring - at("2026-03-28T23:00:00")) // SECOND == 7 * 3600
    autumn = quiet_until(NIGHT, at("2026-10-24T23:00:00"))
    assert (autumn - at("2026-10-24T23:00:00")) // SECOND == 9 * 3600
    short = replace(NIGHT, ends="02:30")
    again = at("2026-10-25T02:10:00", fold=1)
    assert quiet_until(short, again) == at("2026-10-25T02:30:00", fold=1) > again


def test_urgent_ones_pass() -> None:
    """And take along whatever is in their message."""
    terms, night = ChannelTerms(quiet=NIGHT), at("2026-11-24T23:00:00")
    assert due_at(terms, ALERT, night, None) == night
    assert due_at(terms, WARNING, night, None) == at("2026-11-25T07:00:00")
    assert not_before(terms, (WARNING, ALERT), night) == night
    assert not_before(ChannelTerms(), (WARNING,), night) == night


@pytest.mark.parametrize(("attempts", "least"), [(1, 2.5), (2, 5.0), (5, 40.0), (9, 450.0)])
def test_retries(attempts: int, least: float) -> None:
    """Twice as long each time, half of it chance, bounded; what the other side asks is heard."""
    assert retry_delay(attempts, 0.0) == least
    assert least < retry_delay(attempts, 0.999) < 2 * least
    assert retry_delay(attempts, 0.0, 600.0) == 600.0
    assert retry_delay(10_000, 0.999, 1e9) == delivery_schedule.MAX_RETRY_DELAY
