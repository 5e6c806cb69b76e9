"""Times as people write and read them: RFC 3339, a date, or a duration such as 24h."""

import re
from typing import Final

from protocols.errors import ValidationError
from protocols.instant import SECOND, parse_duration, parse_rfc3339, rfc3339
from ui.cli.errors import CliError, Exit

MILLI: Final = 10**6
PAST: Final = "an RFC 3339 time, a date (UTC), or a duration ago such as 24h"
FUTURE: Final = "an RFC 3339 time, a date (UTC), or a duration from now such as 30d"
_EXAMPLE: Final = "2026-11-01T00:00:00Z"
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DURATION: Final = "a duration such as 90s, 24h or 30d"


def instant(ns: int) -> str | None:
    """Unix nanoseconds as RFC 3339; None for never (0)."""
    return rfc3339(ns) if ns else None


def past_time(text: str, option: str) -> str:
    """RFC 3339 of a time, a date or a duration ago; empty for an empty text. Raises `CliError`."""
    return rfc3339(_instant(text, option, -1, PAST)) if text else ""


def future_time(text: str, option: str) -> str:
    """As `past_time`, with a duration from now."""
    return rfc3339(_instant(text, option, 1, FUTURE)) if text else ""


def past_instant(text: str, option: str) -> int:
    """As `past_time`, in Unix nanoseconds; 0 for an empty text."""
    return _instant(text, option, -1, PAST) if text else 0


def past_seconds(text: str, option: str) -> int:
    """As `past_time`, in Unix seconds; 0 for an empty text."""
    return _instant(text, option, -1, PAST) // SECOND if text else 0


def seconds_since(text: str, option: str) -> int:
    """How many seconds ago a time, a date or a duration ago is. Raises `CliError`."""
    return max(0, (_wall() - _instant(text, option, -1, PAST)) // SECOND)


def duration(text: str, option: str) -> int:
    """A duration in seconds; 0 for an empty text. Raises `CliError`."""
    if not text:
        return 0
    try:
        if text.isdigit() or text.startswith("-"):
            raise CliError(f"{option}: give {_DURATION}", Exit.USAGE)
        return parse_duration(text, option) // SECOND
    except ValidationError:
        raise CliError(f"{option}: give {_DURATION}", Exit.USAGE) from None


def _instant(text: str, option: str, sign: int, shapes: str) -> int:
    """Unix nanoseconds; a duration counts from now, in the direction of `sign`."""
    try:
        if _DATE.fullmatch(text):
            text += "T00:00:00Z"
        if "T" in text.upper():
            return parse_rfc3339(text, option)
        if text.isdigit() or text.startswith("-"):
            raise CliError(f"{option}: give {shapes}, for example {_EXAMPLE}", Exit.USAGE)
        return _wall() + sign * parse_duration(text, option)
    except ValidationError:
        raise CliError(f"{option}: give {shapes}, for example {_EXAMPLE}", Exit.USAGE) from None


def _wall() -> int:
    from actors import SystemWorld

    return SystemWorld().wall()
