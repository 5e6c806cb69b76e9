"""The words that every form shares."""

from msgspec.structs import replace

from control.model.notices import Kind
from control.model.records import Severity
from control.notify.letter import (
    MAX_SUBJECT,
    Letter,
    moment,
    more,
    plain,
    sentence,
    severest,
    title,
    word,
)
from tests.unit.control.notify.letters import AT, BAD, MANY, NOTICE, ONE


def test_titles() -> None:
    """One alert says itself; many say how many, and how bad. One line, bounded."""
    assert title(ONE) == "[Freehold acme] critical: agent v1 is gone"
    assert title(MANY) == "[Freehold acme] 30 notices, the severest critical"
    long = replace(ONE, notices=(replace(NOTICE, message="x" * 500 + "\n"),))
    assert len(title(long)) == MAX_SUBJECT
    assert "\n" not in title(BAD)


def test_words() -> None:
    """A raised one is called by its severity, others by what happened; repetitions are counted."""
    assert word(NOTICE) == "critical"
    assert word(replace(NOTICE, kind=Kind.RESOLVED)) == "resolved"
    assert sentence(NOTICE) == "agent v1 is gone"
    assert sentence(BAD.notices[0]).endswith("(3 times more before)")
    assert (more(ONE), more(BAD)[:10]) == ("", "and 2 more")
    assert severest(MANY) is Severity.CRITICAL
    assert severest(Letter("x", "acme", AT, ())) is Severity.INFO


def test_plain() -> None:
    """No control character, no more than asked for."""
    assert plain("a\x1b[31mb\u202ec\n") == "a [31mb c "
    assert plain("abcdef", 4) == "abc…"


def test_moment_and_link() -> None:
    """UTC to the second; no link where nobody knows the dashboard's address."""
    assert moment(AT) == "2026-09-21 14:13:20 UTC"
    assert ONE.link == "https://control.example/alerts?org=acme"
    assert BAD.link == ""
