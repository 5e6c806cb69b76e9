"""A logout token (OpenID Connect Back-Channel Logout 1.0, 2.4 to 2.6): who is signed out where.

Signature, issuer, audience and times are those of an ID token. It says in `events` what it is, and
must not have a nonce, so that neither of the two passes for the other. Pure.
"""

from typing import Any, Final

import jwt
from msgspec import Struct

from control.authn.id_token import (
    MAX_SUBJECT,
    Claims,
    Expected,
    check_parties,
    check_times,
    verified,
    wrong,
)
from protocols.instant import SECOND

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
MAX_AGE: Final = 600 * SECOND
"""How old one may be, so that it is known for a while only that it was used."""
MAX_ID: Final = 255  # characters of `jti` and `sid`
_TYPES: Final = frozenset({"", "jwt", "logout+jwt", "application/logout+jwt"})


class Said(Struct, frozen=True):
    """Whose sessions end: all of `subject`, or those that came of the provider's session `sid`."""

    id: str
    subject: str
    sid: str


def said_of(token: str, key: jwt.PyJWK, expected: Expected) -> Said:
    """What it says, each claim that matters checked. Raises `AuthenticationError`.

    `expected.nonce` is not looked at.
    """
    claims, now = verified(token, key), expected.now // SECOND
    kind = jwt.get_unverified_header(token).get("typ", "")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise wrong("typ")
    check_parties(claims, expected)
    check_times(claims, now)
    if claims["iat"] < now - MAX_AGE // SECOND:
        raise wrong("iat")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise wrong("events")
    if "nonce" in claims:
        raise wrong("nonce")
    subject, sid = _text(claims, "sub", MAX_SUBJECT), _text(claims, "sid", MAX_ID)
    if not subject and not sid:
        raise wrong("sub")
    id_ = _text(claims, "jti", MAX_ID)
    if not id_:
        raise wrong("jti")
    return Said(id_, subject, sid)


def _text(claims: Claims, name: str, most: int) -> str:
    """The claim; empty where there is none."""
    value: Any = claims.get(name, "")
    if not isinstance(value, str) or len(value) > most or "\0" in value:
        raise wrong(name)
    if name in claims and not value:
        raise wrong(name)
    return value
