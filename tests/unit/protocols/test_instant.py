"""Instants and durations: nanoseconds inside, RFC 3339 and Go's durations outside."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ValidationError
from protocols.instant import (
    MAX_NS,
    SECOND,
    go_duration,
    parse_duration,
    parse_rfc3339,
    rfc3339,
    rfc3339_or_none,
)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (1, "1970-01-01T00:00:00.000000001Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (1_767_225_599 * SECOND, "2025-12-31T23:59:59Z"),
        (MAX_NS, "2262-04-11T23:47:16.854775807Z"),
    ],
)
def test_writes_as_go_does(ns: int, text: str) -> None:
    """Trailing zeros of the fraction are cut, and a whole second has no point."""
    assert rfc3339(ns) == text
    assert parse_rfc3339(text, "at") == ns


def test_zero_is_never() -> None:
    """What never was has no time: nobody is told of 1970."""
    assert rfc3339_or_none(0) is None
    assert rfc3339_or_none(1) == rfc3339(1)


@given(st.integers(min_value=1, max_value=MAX_NS))
def test_reads_back_what_it_writes(ns: int) -> None:
    """No nanosecond is lost on the way out and in."""
    assert parse_rfc3339(rfc3339(ns), "at") == ns


def test_reads_offsets() -> None:
    """An offset is taken into account, a lower-case t and z are allowed (RFC 3339, 5.6)."""
    assert parse_rfc3339("2026-01-01T01:30:00+01:30", "at") == parse_rfc3339(
        "2026-01-01t00:00:00z", "at"
    )


@pytest.mark.parametrize(
    "text",
    ["", "2026-01-01", "2026-01-01T00:00:00", "2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z",
     "x2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n", "2026-01-01T00:00:00.1234567890Z",
     "1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2262-04-12T00:00:00Z"],
)  # fmt: skip
def test_refuses_what_is_no_time(text: str) -> None:
    """A malformed or impossible time is an error that names the field."""
    with pytest.raises(ValidationError) as raised:
        parse_rfc3339(text, "expires_at")
    assert raised.value.details == {"field": "expires_at"}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(0, 0), (90, 90), (1.5, 1.5), ("90", 90), ("-5", -5), ("90s", 90), ("1h30m", 5400),
     ("90d", 90 * 86400), ("500ms", 0.5), ("1.5h", 5400), ("-1s", -1)],
)  # fmt: skip
def test_reads_durations(value: str | float, seconds: float) -> None:
    """Numbers are seconds; text is Go's form, with days added."""
    assert parse_duration(value, "ttl") == int(seconds * SECOND)


@pytest.mark.parametrize(
    "value", ["", "x", "1x", "1h x", "h", "1 h", math.nan, math.inf, 1e300, "9" * 30, "--1s", True]
)
def test_refuses_what_is_no_duration(value: str | float) -> None:
    """Nonsense, infinity and what no date could hold are errors that name the field."""
    with pytest.raises(ValidationError) as raised:
        parse_duration(value, "ttl")
    assert raised.value.details == {"field": "ttl"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m0s"), (5400, "1h30m0s"), (-90, "-1m30s"), (1.5, "1.5s")],
)
def test_writes_durations_as_go_does(seconds: float, text: str) -> None:
    """`0s`, `1h30m0s`: what clients of the Vault API parse."""
    assert go_duration(int(seconds * SECOND)) == text
