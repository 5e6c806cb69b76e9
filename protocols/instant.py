"""Instants are Unix nanoseconds (`int`, UTC): every database keeps them whole."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from protocols.errors import ValidationError

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
MAX_NS: Final = 2**63 - 1  # 2262-04-11T23:47:16.854775807Z: the widest integer every database has
_LONGEST: Final = 64  # characters of a duration; a longer one is over MAX_NS or mostly zeros

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)", re.ASCII)
_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
    "d": DAY,
}


def from_millis(ms: int) -> int:
    """The instant of a peer's Unix milliseconds; `MAX_NS` for one that cannot be shown."""
    return min(ms * 10**6, MAX_NS)


def rfc3339(ns: int) -> str:
    """Write an instant as RFC 3339 in UTC, trailing zeros cut (Go's RFC3339Nano)."""
    seconds, fraction = divmod(ns, SECOND)
    text = _whole(seconds)
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else f"{text}Z"


def rfc3339_or_none(ns: int) -> str | None:
    """Write an instant as RFC 3339; None for 0, which is never."""
    return rfc3339(ns) if ns else None


@lru_cache(maxsize=256)  # every record of a second has the same, and so has a hot secret
def _whole(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


def parse_rfc3339(text: str, field: str) -> int:
    """Read an RFC 3339 instant after 1970 (0 means never) and up to `MAX_NS`.

    Raises `ValidationError` naming `field`.
    """
    match = _RFC3339.match(text)
    if match is None:
        raise ValidationError("time_invalid", f"{field} is not an RFC 3339 time", field=field)
    date, clock, fraction, zone = match.groups()
    try:
        whole = datetime.fromisoformat(f"{date}T{clock}{zone.upper().replace('Z', '+00:00')}")
    except ValueError:
        raise ValidationError(
            "time_invalid", f"{field} is not a real date and time", field=field
        ) from None
    ns = int(whole.timestamp()) * SECOND + int((fraction or "0").ljust(9, "0"))
    if not 0 < ns <= MAX_NS:
        raise ValidationError(
            "time_invalid", f"{field} must lie between the years 1970 and 2262", field=field
        )
    return ns


def parse_duration(value: str | float, field: str) -> int:
    """Read a duration to nanoseconds: seconds, or Go's form such as `1h30m`; also `90d`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= MAX_NS // SECOND:  # written so that NaN and infinity fail it too
            raise ValidationError("duration_invalid", f"{field} is too long", field=field)
        return int(value * SECOND)
    text = str(value).strip()
    if len(text) > _LONGEST:
        raise ValidationError("duration_invalid", f"{field} is too long", field=field)
    if re.fullmatch(r"-?\d+", text, re.ASCII):
        return _bounded(int(text) * SECOND, field)
    sign = -1 if text.startswith("-") else 1
    text = text.removeprefix("-")
    parts = _DURATION.findall(text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise ValidationError(
            "duration_invalid", f"{field} is not a duration such as 90s, 1h30m or 90d", field=field
        )
    return _bounded(sign * int(sum(float(n) * _UNITS[u] for n, u in parts)), field)


def _bounded(ns: int, field: str) -> int:
    if abs(ns) > MAX_NS:
        raise ValidationError("duration_invalid", f"{field} is too long", field=field)
    return ns


def go_duration(ns: int) -> str:
    """Write a duration as Go's `time.Duration` does for whole seconds: `0s`, `1h30m0s`."""
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    seconds, fraction = divmod(ns, SECOND)
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    text = f"{seconds}" + (f".{fraction:09d}".rstrip("0") if fraction else "") + "s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return sign + (f"{hours}h{text}" if hours else text)
