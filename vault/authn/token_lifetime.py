"""How long a token lives: pure arithmetic on nanoseconds, with OpenBao's rules and words.

A token lives `ttl`, at most 768 h from its creation, at most `explicit_max_ttl`; a periodic one as
long as it is renewed within each period, at most `explicit_max_ttl`. Only root never ends.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from protocols.instant import SECOND, go_duration
from vault.errors import ValidationError
from vault.model.records import TokenRow

MAX_TTL: Final = 768 * 3600 * SECOND  # OpenBao's default of max_lease_ttl, and of the lease itself


class TokenLifetime(Struct, frozen=True, kw_only=True):
    """What was granted. `ttl` 0: it never ends. `warnings` say what was cut."""

    ttl: int
    period: int
    warnings: tuple[str, ...] = ()


def grant_lifetime(
    *,
    ttl: int,
    explicit_max_ttl: int,
    period: int,
    root: bool,
    default_ttl: int = MAX_TTL,
    max_ttl: int = MAX_TTL,
) -> TokenLifetime:
    """Return the lifetime of a new token; raises `ValidationError` for a negative part.

    `default_ttl`, `max_ttl`: of the auth mount, or of the role, that it is made by.
    """
    for name, value in (
        ("ttl", ttl),
        ("explicit_max_ttl", explicit_max_ttl),
        ("period", period),
    ):
        if value < 0:
            raise ValidationError("ttl_invalid", f"{name} must be positive", field=name)
    most = min(explicit_max_ttl or max_ttl, max_ttl)
    if period:
        granted, warnings = _cap("period", period, most)
        return TokenLifetime(ttl=granted, period=min(period, max_ttl), warnings=warnings)
    if root and not ttl and not explicit_max_ttl:
        return TokenLifetime(ttl=0, period=0)
    granted, warnings = _cap("TTL", ttl or min(default_ttl, max_ttl), most)
    return TokenLifetime(ttl=granted, period=0, warnings=warnings)


def renew_lifetime(row: TokenRow, increment: int, now: int) -> tuple[TokenRow, tuple[str, ...]]:
    """Return the token as renewed at `now`, and warnings; `increment` 0: for as long as last time.

    Raises `ValidationError` when it is not renewable. A renewal counts from now and may shorten.
    """
    if increment < 0:
        raise ValidationError(
            "ttl_invalid", "cannot provide a negative increment", field="increment"
        )
    if not row.renewable or not row.expires_at:
        raise ValidationError("not_renewable", "lease is not renewable")
    if row.period:
        most = row.created_at + row.explicit_max_ttl - now if row.explicit_max_ttl else MAX_TTL
        granted, warnings = _cap("period", row.period, most)
    else:
        longest = row.max_ttl or MAX_TTL
        most = row.created_at + min(row.explicit_max_ttl or longest, longest) - now
        granted, warnings = _cap("TTL", increment or row.expires_at - row.issued_at, most)
    return replace(row, issued_at=now, expires_at=now + granted), warnings


def _cap(what: str, wanted: int, most: int) -> tuple[int, tuple[str, ...]]:
    shown = -(-most // SECOND) * SECOND
    if wanted <= shown:  # what is cut by less than a second is not worth a word
        return min(wanted, most), ()
    warning = (
        f'{what} of "{_format_duration(wanted)}" exceeded the effective max_ttl of '
        f'"{_format_duration(shown)}"; {what} value is capped accordingly'
    )
    return most, (warning,)


def _format_duration(ns: int) -> str:
    """Go's form without the zero units at its end: `768h`, `1h30m`."""
    text = go_duration(ns)
    for zero, unit in (("0s", "m"), ("0m", "h")):
        if text.endswith(unit + zero):
            text = text.removesuffix(zero)
    return text
