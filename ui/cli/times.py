"""Times as people write and read them: RFC 3339, and how long ago."""

import re
from typing import Final

from actors import SystemWorld
from protocols.errors import ValidationError
from protocols.instant import SECOND, parse_duration, parse_rfc3339, rfc3339
from ui.cli.errors import CliError, Exit

MILLI: Final = 10**6
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_SHAPES: Final = (
    "an RFC 3339 time such as 2026-11-01T00:00:00Z, a date (UTC) or a duration ago: 30d"
)


def instant(ns: int) -> str | None:
    """Unix nanoseconds as RFC 3339; None for never (0)."""
    return rfc3339(ns) if ns else None


def seconds_of(text: str, option: str) -> int:
    """Unix seconds of a time, a date or a duration ago; 0 for an empty text. Raises `CliError`."""
    if not text:
        return 0
    try:
        if _DATE.fullmatch(text):
            text += "T00:00:00Z"
        if "T" in text.upper():
            return parse_rfc3339(text, option) // SECOND
        if text.isdigit() or text.startswith("-"):
            raise CliError(f"{option}: give {_SHAPES}", Exit.USAGE)
        return (SystemWorld().wall() - parse_duration(text, option)) // SECOND
    except ValidationError:
        raise CliError(f"{option}: give {_SHAPES}", Exit.USAGE) from None
