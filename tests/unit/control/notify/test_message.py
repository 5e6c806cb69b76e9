"""The words that every form shares."""

from msgspec.structs import replace

from control.model.notices import Kind
from control.model.records import Severity
from control.notify.message import (
    MAX_SUBJECT,
    NotificationMessage,
    describe_notice,
    format_time,
    highest_severity,
    message_title,
    notice_label,
    omitted_text,
    single_line,
)
from tests.unit.control.notify.letters import AT, BAD, MANY, NOTICE, ONE


def test_titles() -> None:
    """One alert says itself; many say how many, and how bad. One line, bounded."""
    assert message_title(ONE) == "[Freehold acme] critical: agent v1 is gone"
    assert message_title(MANY) == "[Freehold acme] 30 notices, the severest critical"
    long = replace(ONE, notices=(replace(NOTICE, message="x" * 500 + "\n"),))
    assert len(message_title(long)) == MAX_SUBJECT
    assert "\n" not in message_title(BAD)


def test_words() -> None:
    """A raised one is called by its severity, others by what happened; repetitions are counted."""
    assert notice_label(NOTICE) == "critical"
    assert notice_label(replace(NOTICE, kind=Kind.RESOLVED)) == "resolved"
    assert describe_notice(NOTICE) == "agent v1 is gone"
    assert describe_notice(BAD.notices[0]).endswith("(3 times more before)")
    assert (omitted_text(ONE), omitted_text(BAD)[:10]) == ("", "and 2 more")
    assert highest_severity(MANY) is Severity.CRITICAL
    assert highest_severity(NotificationMessage("x", "acme", AT, ())) is Severity.INFO


def test_plain() -> None:
    """No control character, no more than asked for."""
    assert single_line("a\x1b[31mb\u202ec\n") == "a [31mb c "
    assert single_line("abcdef", 4) == "abc…"


def test_moment_and_link() -> None:
    """UTC to the second; no link where nobody knows the dashboard's address."""
    assert format_time(AT) == "2026-09-21 14:13:20 UTC"
    assert ONE.link == "https://control.example/alerts?org=acme"
    assert BAD.link == ""
