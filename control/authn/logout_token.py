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
    ExpectedClaims,
    check_parties,
    check_times,
    token_error,
    verified_payload,
)
from protocols.instant import SECOND

LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
MAX_AGE: Final = 600 * SECOND
"""How old one may be, so that it is known for a while only that it was used."""
MAX_ID: Final = 255  # characters of `jti` and `sid`
_TYPES: Final = frozenset({"", "jwt", "logout+jwt", "application/logout+jwt"})


class LogoutToken(Struct, frozen=True):
    """Whose sessions end: all of `subject`, or those that came of the provider's session `sid`."""

    id: str
    subject: str
    sid: str


def verify_logout_token(token: str, key: jwt.PyJWK, expected: ExpectedClaims) -> LogoutToken:
    """What it says, each claim that matters checked. Raises `AuthenticationError`.

    `expected.nonce` is not looked at.
    """
    claims, now = verified_payload(token, key), expected.now // SECOND
    kind = jwt.get_unverified_header(token).get("typ", "")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise token_error("typ")
    check_parties(claims, expected)
    check_times(claims, now)
    if claims["iat"] < now - MAX_AGE // SECOND:
        raise token_error("iat")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise token_error("events")
    if "nonce" in claims:
        raise token_error("nonce")
    subject, sid = _text_claim(claims, "sub", MAX_SUBJECT), _text_claim(claims, "sid", MAX_ID)
    if not subject and not sid:
        raise token_error("sub")
    id_ = _text_claim(claims, "jti", MAX_ID)
    if not id_:
        raise token_error("jti")
    return LogoutToken(id_, subject, sid)


def _text_claim(claims: Claims, name: str, most: int) -> str:
    """The claim; empty where there is none."""
    value: Any = claims.get(name, "")
    if not isinstance(value, str) or len(value) > most or "\0" in value:
        raise token_error(name)
    if name in claims and not value:
        raise token_error(name)
    return value
