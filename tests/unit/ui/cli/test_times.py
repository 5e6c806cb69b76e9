import time

import pytest

from protocols.instant import SECOND, parse_rfc3339
from ui.cli import times
from ui.cli.errors import CliError, Exit

HOUR = 3600


def seconds(text: str) -> int:
    """Unix seconds of an RFC 3339 time."""
    return parse_rfc3339(text, "x") // SECOND


def test_a_duration_is_ago_or_from_now() -> None:
    """By what the option is about."""
    now = time.time()
    assert abs(seconds(times.past_time("1h", "--since")) - (now - HOUR)) < 60
    assert abs(seconds(times.future_time("1h", "--expires-at")) - (now + HOUR)) < 60
    assert abs(times.past_seconds("1d", "--since") - (now - 24 * HOUR)) < 60
    assert abs(times.seconds_since("2h", "--since") - 2 * HOUR) < 60


def test_a_time_is_itself() -> None:
    """A date begins in UTC; nothing is nothing."""
    assert seconds(times.past_time("2026-11-01", "x")) == seconds("2026-11-01T00:00:00Z")
    assert seconds(times.future_time("2026-11-01T01:00:00+01:00", "x")) == seconds(
        "2026-11-01T00:00:00Z"
    )
    assert (times.past_time("", "x"), times.past_seconds("", "x")) == ("", 0)


def test_durations() -> None:
    """In seconds."""
    assert times.duration("15m", "--digest") == 900
    assert times.duration("0s", "--digest") == 0
    assert times.duration("", "--digest") == 0


@pytest.mark.parametrize("text", ["1764500000", "-3d", "yesterday", "2026-13-01"])
def test_what_is_neither_is_wrong_usage(text: str) -> None:
    """A bare number could be anything; the option is named."""
    for read in (times.past_time, times.future_time, times.duration):
        with pytest.raises(CliError, match=r"--since: give ") as raised:
            read(text, "--since")
        assert raised.value.exit_code is Exit.USAGE
