"""What a verified token says: registered claims (RFC 7519, 4.1), and rules for all others.

Times are checked by our own clock. A claim is named, or found by a JSON Pointer (RFC 6901) where
its name begins with a slash.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate
from functools import lru_cache
from re import Pattern
from re import compile as compile_pattern
from typing import Any, Final

from msgspec import Struct

from vault.authn.jwt.compact import Claims, InvalidTokenError

MAX_LEEWAY: Final = 60  # seconds
MAX_TIME: Final = 1 << 40  # seconds; later is not a time but a trick with numbers
MAX_SUBJECT: Final = 255  # OpenID Connect Core 1.0, section 2
MAX_PATTERN: Final = 512
MAX_VALUES: Final = 1000  # of one claim that are compared
MAX_POINTER_DEPTH: Final = 16
_MISSING: Final = object()


class ExpectedClaims(Struct, frozen=True, kw_only=True):
    """What a token has to say. `audiences`: one of these; empty: it must name none.

    `issuer` and `subject` empty: any. `leeway`: seconds that clocks may differ. `lifetime`: seconds
    from its beginning to its end at most; 0: any.
    """

    issuer: str = ""
    audiences: tuple[str, ...] = ()
    subject: str = ""
    leeway: int = MAX_LEEWAY
    lifetime: int = 0


class BoundClaims(Struct, frozen=True, kw_only=True):
    """Claims that a token must have: name or pointer, and the values of which one must be there.

    `globs`: the values are patterns with `*`.
    """

    values: dict[str, tuple[Any, ...]] = {}
    globs: bool = False


def check_claims(claims: Claims, expected: ExpectedClaims, now: int) -> int:
    """Check issuer, audience, subject and times; `now` in Unix seconds.

    Returns when the token ends (Unix seconds, without leeway). Raises `InvalidTokenError`. An end
    is required, and a beginning: `nbf`, or else `iat`, which providers give that leave `nbf` out.
    """
    if not isinstance(claims.get("iss", ""), str) or not isinstance(claims.get("sub", ""), str):
        raise InvalidTokenError("its issuer (iss) or subject (sub) is no text")
    if expected.issuer and claims.get("iss") != expected.issuer:
        raise InvalidTokenError("its issuer (iss) is another one")
    check_audience(claims, expected.audiences)
    if expected.subject and claims.get("sub") != expected.subject:
        raise InvalidTokenError("its subject (sub) is another one")
    if len(claims.get("sub", "")) > MAX_SUBJECT:
        raise InvalidTokenError("its subject (sub) is too long")
    return _check_times(claims, expected, now)


def check_audience(claims: Claims, audiences: Sequence[str]) -> None:
    """Raise `InvalidTokenError` unless it is meant for one of these; for nobody if none is given.

    A token for somebody else is not accepted because nobody said whom it has to be for.
    """
    found = claims.get("aud", ())
    named = (found,) if isinstance(found, str) else found
    if not isinstance(named, list | tuple) or not all(isinstance(each, str) for each in named):
        raise InvalidTokenError("its audience (aud) is neither a text nor a list of texts")
    if audiences:
        if set(audiences).isdisjoint(named[:MAX_VALUES]):
            raise InvalidTokenError("its audience (aud) is another one")
    elif named:
        raise InvalidTokenError("it has an audience (aud), and the role is bound to none")


def _check_times(claims: Claims, expected: ExpectedClaims, now: int) -> int:
    end = _time(claims, "exp")
    begin = _time(claims, "nbf" if "nbf" in claims else "iat")
    issued = _time(claims, "iat") if "iat" in claims else begin
    if now >= end + expected.leeway:
        raise InvalidTokenError("it has expired (exp)")
    if max(begin, issued) > now + expected.leeway:
        raise InvalidTokenError("it is not valid yet (nbf, iat)")
    if expected.lifetime and end - min(begin, issued) > expected.lifetime:
        raise InvalidTokenError("it is valid for too long (exp)")
    return end


def _time(claims: Claims, name: str) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < MAX_TIME:
        raise InvalidTokenError("a time is missing or no number (exp, and nbf or iat)")
    return int(value)


def find_claim(claims: Claims, name: str) -> Any | None:
    """The claim of a name, or at a pointer (`/a/b/0`); None: it is not there, or null."""
    if not name.startswith("/"):
        return claims.get(name)
    found: Any = claims
    for step in name[1:].split("/", MAX_POINTER_DEPTH):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(key, _MISSING)
        elif isinstance(found, list) and key.isascii() and key.isdecimal() and len(key) < 5:  # noqa: PLR2004  # no list is that long
            found = found[int(key)] if int(key) < len(found) else _MISSING
        else:
            return None
        if found is _MISSING:
            return None
    return found


def check_bound_claims(claims: Claims, bound: BoundClaims) -> None:
    """Raise `InvalidTokenError` unless each bound claim has one of its values."""
    for name, allowed in bound.values.items():
        found = find_claim(claims, name)
        if found is None:
            raise InvalidTokenError("a claim that the role is bound to is missing")
        if not any(_matches(each, allowed, bound.globs) for each in _values(found)):
            raise InvalidTokenError("a claim that the role is bound to has another value")


def has_bound_claims(claims: Claims, bound: BoundClaims) -> bool:
    """Whether each bound claim has one of its values."""
    try:
        check_bound_claims(claims, bound)
    except InvalidTokenError:
        return False
    return True


def claim_text(claims: Claims, name: str, *, pointer: bool = True) -> str:
    """A claim that must be a text, not empty. Raises `InvalidTokenError`.

    Unless `pointer`, a name that begins with a slash is a name.
    """
    found = find_claim(claims, name) if pointer else claims.get(name)
    if not isinstance(found, str) or not found:
        raise InvalidTokenError("the claim that names its holder is missing, or no text")
    return found


def claim_texts(claims: Claims, name: str, limit: int) -> tuple[str, ...]:
    """A claim that is a text or a list of texts, of groups or roles. Raises `InvalidTokenError`.

    More than `limit` are refused, not cut off: a group that is left out may be the one that denies.
    """
    found = find_claim(claims, name)
    if found is None:
        raise InvalidTokenError("the claim with its groups is missing")
    values = _values(found)
    if len(values) > limit or not all(isinstance(each, str) and each for each in values):
        raise InvalidTokenError(f"the claim with its groups is not a list of up to {limit} texts")
    return tuple(dict.fromkeys(values))


def map_claims(claims: Claims, mappings: Mapping[str, str]) -> dict[str, str]:
    """Metadata from claims: those that are there, and texts. Raises `InvalidTokenError`."""
    made = {}
    for name, target in mappings.items():
        found = find_claim(claims, name)
        if found is None:
            continue
        if not isinstance(found, str):
            raise InvalidTokenError("a claim that the role maps is no text")
        made[target] = found
    return made


def _values(found: Any) -> Sequence[Any]:
    return found[:MAX_VALUES] if isinstance(found, list) else (found,)


def _matches(value: Any, allowed: Iterable[Any], globs: bool) -> bool:
    if globs:
        return isinstance(value, str) and any(
            isinstance(each, str) and _pattern(each).fullmatch(value) is not None
            for each in allowed
        )
    # True is 1 for Python, and no number for JSON.
    return any(
        value == each and isinstance(value, bool) is isinstance(each, bool) for each in allowed
    )


@lru_cache(4096)
def _pattern(glob: str) -> Pattern[str]:
    """`*` is any text; nothing else has a meaning. The pattern is matched without backtracking."""
    return compile_pattern(translate(glob.replace("[", "[[]").replace("?", "[?]")))
