"""OpenID Connect Back-Channel Logout 1.0: a provider ends sessions here.

Sessions end in every organization; API tokens belong to programs and stay. A logout does not keep
anybody from signing in again: to shut an account out, disable it.

A logout token has the signature, issuer, audience and times of an ID token. Its claim `events` says
what it is, and it has no nonce, so that neither of the two passes for the other.
"""

from typing import Any, Final

import jwt
from msgspec import Struct

from actors import World
from control.authn.id_token import (
    LEEWAY,
    MAX_SUBJECT,
    Claims,
    ExpectedClaims,
    check_parties,
    check_times,
    token_error,
    verified_payload,
)
from control.authn.oidc_provider import ProviderClient
from control.authn.session_ends import SessionEnds
from control.crypto import sha256
from control.errors import AuthenticationError, NotFoundError, ValidationError
from control.model.people import Caller, Role, Token, TokenKind
from control.store import identities, people
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND

LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
MAX_AGE: Final = 600 * SECOND
"""How old one may be, so that it is known for a while only that it was used."""
MAX_ID: Final = 255  # characters of `jti` and `sid`
_TYPES: Final = frozenset({"", "jwt", "logout+jwt", "application/logout+jwt"})


class LogoutToken(Struct, frozen=True):
    """The sessions to end: all of `subject`, or those of the provider's session `sid`."""

    id: str
    subject: str
    sid: str


def verify_logout_token(token: str, key: jwt.PyJWK, expected: ExpectedClaims) -> LogoutToken:
    """Check every claim that matters (sections 2.4 to 2.6). Raises `AuthenticationError`.

    `expected.nonce` is ignored.
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
    """The claim, or the empty string."""
    value: Any = claims.get(name, "")
    if not isinstance(value, str) or len(value) > most or "\0" in value:
        raise token_error(name)
    if name in claims and not value:
        raise token_error(name)
    return value


TOKEN_RETENTION = MAX_AGE + 2 * LEEWAY * SECOND  # longer than a token counts, whatever its clock


class BackchannelLogout:
    """Handles logout tokens of all organizations' providers."""

    def __init__(
        self, store: Store, providers: ProviderClient, session_ends: SessionEnds, world: World
    ) -> None:
        self._store = store
        self._providers = providers
        self._session_ends = session_ends
        self._world = world

    async def end_sessions(self, org: str, token: str) -> Caller:
        """End the sessions that a token of `org`'s provider names; the account, if there is one.

        Raises `ValidationError` for an invalid token, `NotFoundError` without a provider,
        `UnavailableError`.
        """
        provider = await self._store.read(lambda tx: identities.get_provider(tx, org))
        if provider is None:
            raise NotFoundError("not_found", "there is no identity provider here")
        issuer, now = provider.issuer, self._world.now()
        try:
            key = await self._providers.signing_key_of(issuer, token)
            said = verify_logout_token(
                token, key, ExpectedClaims(issuer, provider.client_id, "", now)
            )
        except AuthenticationError as error:
            raise _refused_error(error.message) from None

        def change(tx: Tx) -> tuple[Caller, list[str]]:
            if not identities.use_logout_token(
                tx, _scoped_digest(issuer, said.id), now, now + TOKEN_RETENTION
            ):
                raise _refused_error("this logout token was used")
            gone = _sessions_meant(tx, org, issuer, said)
            for row in gone:
                people.delete_token(tx, row.org, row.id)
            name = _account_of(tx, org, issuer, said) or next((row.user for row in gone), "")
            return Caller(org, name, Role.VIEWER, ""), [row.id for row in gone]

        caller, ended = await self._store.write(change)
        self._session_ends.publish_ended(ended)
        return caller


def session_id_digest(issuer: str, claims: dict[str, Any]) -> str:
    """What a session stores of the provider's session; for none, that it has none."""
    sid = claims.get("sid")
    return _scoped_digest(issuer, sid if isinstance(sid, str) else "").hex()


def _sessions_meant(tx: Tx, org: str, issuer: str, said: LogoutToken) -> list[Token]:
    """The person's sessions, half ones too.

    If the token names a session, sessions of another one stay, and those that came from no
    provider.
    """
    name = _account_of(tx, org, issuer, said)
    if said.subject and not name:
        return []
    sid, unnamed = session_id_digest(issuer, {"sid": said.sid}), session_id_digest(issuer, {})
    # Where the provider named no session at sign-in, its word about the person has to do.
    fitting = {sid, unnamed} if name else {sid}
    return [
        row
        for row in people.list_tokens(tx, org, name)
        if row.kind is not TokenKind.API and (not said.sid or row.sid in fitting)
    ]


def _account_of(tx: Tx, org: str, issuer: str, said: LogoutToken) -> str:
    row = identities.get_identity(tx, issuer, said.subject, org) if said.subject else None
    return "" if row is None else row.name


def _scoped_digest(issuer: str, word: str) -> bytes:
    return sha256(f"{len(issuer)}:{issuer}{word}".encode("utf-8", "surrogatepass"))


def _refused_error(why: str) -> ValidationError:
    return ValidationError("logout_token_invalid", why)
