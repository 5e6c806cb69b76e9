"""Opens a session for an account that was authenticated in any way.

An account that has a second factor, or must have one, gets a half session first: valid for five
minutes, to show the factor or to set it up.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors import World
from actors.slewed_clock import has_expired
from control.authn.attempts import Purpose, clear_attempts
from control.authn.session_ends import SessionEnds
from control.authn.sessions import SessionLimits, invalid_credential
from control.crypto import new_bearer_secret, secret_digest
from control.errors import AuthorizationError, ValidationError
from control.model.people import Origin, Role, Token, TokenKind, User
from control.store import members, people, second_factors
from control.store.rows import Tx
from control.store.store import Store
from protocols.http.session_key import credential_of
from protocols.instant import SECOND

MAX_TOKENS: Final = 100  # of one user: sessions and API tokens
HALF_SESSION_LIFETIME: Final = 300 * SECOND
SECOND_FACTOR: Final = "second-factor"
ENROLMENT: Final = "enrolment"
_SESSION_PREFIX: Final = "fhs"
_KEY_PREFIX: Final = "fhk"


class SessionRequest(Struct, frozen=True):
    """The kind of session, and its origin. `acting`: the organization, if not home.

    `trusted`: needs no second factor of ours; `factor`: since one was shown. `exchange_code`: a
    half session that can only be exchanged. `sid`: see `Token`.
    """

    kind: TokenKind = TokenKind.SESSION
    origin: Origin = Origin()
    acting: str = ""
    trusted: bool = False
    factor: bool = False
    exchange_code: str = ""
    sid: str = ""


PROGRAM_SESSION: Final = SessionRequest()
"""A bearer session, at home."""


class SessionSecrets(Struct, frozen=True):
    """A session's secret and id, made before the transaction, which may be repeated."""

    secret: str
    session_key: str
    id: str
    at: int

    def credential(self, kind: TokenKind) -> str:
        """What the client presents; for a browser, cookie and session key."""
        if kind is TokenKind.BROWSER:
            return credential_of(self.secret, self.session_key)
        return self.secret


class SessionOpener:
    """Opens sessions. A secret is always new: nobody can plant one."""

    def __init__(
        self, store: Store, session_ends: SessionEnds, limits: SessionLimits, world: World
    ) -> None:
        self._store = store
        self._session_ends = session_ends
        self._rules = limits
        self._world = world

    async def open_session(self, user: User, request: SessionRequest) -> tuple[str, Token]:
        """The credential and the stored row of a session, or of half a session.

        `user`: as read when the person was authenticated; a change since then raises
        `AuthenticationError`.
        """
        made = self.new_secrets()

        def change(tx: Tx) -> tuple[Token, list[str]]:
            current = people.get_user(tx, user.org, user.name)
            if current is None or current.disabled or current.changed_at != user.changed_at:
                raise invalid_credential()  # somebody changed the account meanwhile
            clear_attempts(tx, user.org, user.name, Purpose.SIGN_IN)
            return self.add_session(tx, current, request, made)

        token, ended = await self._store.write(change)
        self._session_ends.publish_ended(ended)
        return made.credential(token.kind), token

    async def exchange_half_session(
        self, challenge: str, need: str, whole: Callable[[Tx, Token], SessionRequest]
    ) -> tuple[str, Token]:
        """As `open_session`, in place of a half session that is for `need`, and ends.

        `whole`: the session that is opened. Raises `AuthenticationError`.
        """
        made = self.new_secrets()

        def change(tx: Tx) -> tuple[Token, list[str]]:
            begun, user = find_half_session(tx, challenge, need, made.at)
            people.delete_token(tx, begun.org, begun.id)
            return self.add_session(tx, user, replace(whole(tx, begun), sid=begun.sid), made)

        token, ended = await self._store.write(change)
        self._session_ends.publish_ended(ended)
        return made.credential(token.kind), token

    def new_secrets(self) -> SessionSecrets:
        """Secrets for `add_session`."""
        return SessionSecrets(
            new_bearer_secret(_SESSION_PREFIX),
            new_bearer_secret(_KEY_PREFIX),
            self._world.new_id(),
            self._world.now(),
        )

    def add_session(
        self, tx: Tx, user: User, request: SessionRequest, secrets: SessionSecrets
    ) -> tuple[Token, list[str]]:
        """As `open_session`, in a transaction; publish what ended to make room after it."""
        now = secrets.at
        acting = "" if request.acting == user.org else request.acting
        role = _role(tx, user, acting)
        need = request.exchange_code or (
            "" if request.trusted else _missing_factor(tx, user, acting)
        )
        kind = TokenKind.HALF if need else request.kind
        full = Token(
            digest=secret_digest(secrets.credential(kind)),
            id=secrets.id,
            org=user.org,
            user=user.name,
            kind=kind,
            label=need or "login",
            role=role,
            created_at=now,
            expires_at=now + (HALF_SESSION_LIFETIME if need else self._rules.absolute),
            seen_at=now if request.kind is TokenKind.BROWSER else 0,
            ip=request.origin.ip,
            user_agent=request.origin.user_agent,
            acting=acting,
            proven_at=now,
            factor_at=now if request.factor else 0,
            sid=request.sid,
        )
        ended = evict_oldest_session(tx, user)
        people.add_token(tx, full)
        if not need:
            people.record_login(tx, user.org, user.name, now)
        return full, ended


def find_half_session(tx: Tx, challenge: str, need: str, now: int) -> tuple[Token, User]:
    """The half session of this secret, and its account. Raises `AuthenticationError`."""
    token = people.get_token(tx, secret_digest(challenge))
    if token is None or token.kind is not TokenKind.HALF or token.label != need:
        raise invalid_credential()
    user = people.get_user(tx, token.org, token.user)
    if user is None or user.disabled or has_expired(token.created_at, token.expires_at, now):
        raise invalid_credential()
    return token, user


def evict_oldest_session(tx: Tx, user: User) -> list[str]:
    """End the oldest session when there are too many, and never an API token.

    Half sessions go first: who knows a password alone ends nobody's sessions.
    """
    held = people.list_tokens(tx, user.org, user.name)
    if len(held) < MAX_TOKENS:
        return []
    sessions = [token for token in held if token.kind is not TokenKind.API]
    if not sessions:
        raise ValidationError(
            "too_many_tokens", f"a user has at most {MAX_TOKENS} tokens: end one first"
        )
    gone = min(sessions, key=lambda token: token.kind is not TokenKind.HALF)  # min takes the first
    people.delete_token(tx, user.org, gone.id)
    return [gone.id]


def _role(tx: Tx, user: User, acting: str) -> Role:
    if not acting:
        return user.role
    member = members.get_membership(tx, acting, user.org, user.name)
    if member is None:
        raise AuthorizationError(
            "not_a_member",
            "you are not a member of this organization: ask its owners for an invitation",
        )
    return member.role


def _missing_factor(tx: Tx, user: User, acting: str) -> str:
    if second_factors.has_active_factor(tx, user.org, user.name):
        return SECOND_FACTOR
    return ENROLMENT if any_requires_factor(tx, user.org, acting) else ""


def account_requires_factor(tx: Tx, org: str, name: str) -> bool:
    """Whether an account's home, or an organization where it is a guest, requires one."""
    return any_requires_factor(
        tx, org, *(row.org for row in members.list_memberships(tx, org, name))
    )


def any_requires_factor(tx: Tx, *orgs: str) -> bool:
    """Whether one of these organizations requires a second factor of everybody."""
    found = [people.get_organization(tx, org) for org in orgs if org]
    return any(row is not None and row.second_factor for row in found)
