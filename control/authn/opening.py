"""Opening a session for somebody who was recognised, however that was.

Whoever has a second factor, or must have one, gets half a session first: good for five minutes,
and for nothing but to show the factor or to set it up.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors import World
from actors.slewed_clock import is_early
from control.authn.attempts import Purpose, forget
from control.authn.endings import Endings
from control.authn.sessions import Rules, refused
from control.crypto import digest_of, mint
from control.errors import AuthorizationError, ValidationError
from control.model.people import Origin, Role, Token, TokenKind, User
from control.store import factors, members, people
from control.store.rows import Tx
from control.store.store import Store
from protocols.http.session_key import credential_of
from protocols.instant import SECOND

MAX_TOKENS: Final = 100  # of one user: sessions and API tokens
HALF: Final = 300 * SECOND
SECOND_FACTOR: Final = "second-factor"
ENROLMENT: Final = "enrolment"
_SESSION_PREFIX: Final = "fhs"
_KEY_PREFIX: Final = "fhk"


class Way(Struct, frozen=True):
    """What kind of session is wanted, and from where. `acting`: in which organization, if not home.

    `trusted`: no second factor of ours is needed any more; `factor`: since it was shown. `handed`:
    half a session, good for this alone, whatever else is needed. `sid`: see `Token`.
    """

    kind: TokenKind = TokenKind.SESSION
    origin: Origin = Origin()
    acting: str = ""
    trusted: bool = False
    factor: bool = False
    handed: str = ""
    sid: str = ""


PROGRAM: Final = Way()
"""A bearer session, at home."""


class Minted(Struct, frozen=True):
    """What a session will be known by; a transaction that is repeated makes nothing up."""

    secret: str
    session_key: str
    id: str
    at: int

    def credential(self, kind: TokenKind) -> str:
        """What such a session is presented by; of a browser's, cookie and session key."""
        if kind is TokenKind.BROWSER:
            return credential_of(self.secret, self.session_key)
        return self.secret


class Opening:
    """Makes sessions. A secret is always a new one: nobody can plant it."""

    def __init__(self, store: Store, ends: Endings, rules: Rules, world: World) -> None:
        self._store = store
        self._ends = ends
        self._rules = rules
        self._world = world

    async def open(self, user: User, way: Way) -> tuple[str, Token]:
        """A credential and what is kept of it: a session, or half of one.

        `user` as it was read when the person was recognised: it must not have changed since.
        Raises `AuthenticationError`.
        """
        made = self.mint()

        def change(tx: Tx) -> tuple[Token, list[str]]:
            current = people.user(tx, user.org, user.name)
            if current is None or current.disabled or current.changed_at != user.changed_at:
                raise refused()  # somebody changed the account meanwhile
            forget(tx, user.org, user.name, Purpose.SIGN_IN)
            return self.add(tx, current, way, made)

        token, ended = await self._store.write(change)
        self._ends.tell(ended)
        return made.credential(token.kind), token

    async def exchange(
        self, challenge: str, need: str, whole: Callable[[Tx, Token], Way]
    ) -> tuple[str, Token]:
        """What `open` gives, in place of half a session that is for `need`, and ends.

        `whole`: what is wanted for it. Raises `AuthenticationError`.
        """
        made = self.mint()

        def change(tx: Tx) -> tuple[Token, list[str]]:
            begun, user = half(tx, challenge, need, made.at)
            people.drop_token(tx, begun.org, begun.id)
            return self.add(tx, user, replace(whole(tx, begun), sid=begun.sid), made)

        token, ended = await self._store.write(change)
        self._ends.tell(ended)
        return made.credential(token.kind), token

    def mint(self) -> Minted:
        """For `add`."""
        return Minted(
            mint(_SESSION_PREFIX), mint(_KEY_PREFIX), self._world.new_id(), self._world.now()
        )

    def add(self, tx: Tx, user: User, way: Way, made: Minted) -> tuple[Token, list[str]]:
        """The same in a transaction; what ended to make room is to be told after it."""
        now = made.at
        acting = "" if way.acting == user.org else way.acting
        role = _role(tx, user, acting)
        need = way.handed or ("" if way.trusted else _need(tx, user, acting))
        kind = TokenKind.HALF if need else way.kind
        full = Token(
            digest=digest_of(made.credential(kind)),
            id=made.id,
            org=user.org,
            user=user.name,
            kind=kind,
            label=need or "login",
            role=role,
            created_at=now,
            expires_at=now + (HALF if need else self._rules.absolute),
            seen_at=now if way.kind is TokenKind.BROWSER else 0,
            ip=way.origin.ip,
            user_agent=way.origin.user_agent,
            acting=acting,
            proven_at=now,
            factor_at=now if way.factor else 0,
            sid=way.sid,
        )
        ended = make_room(tx, user)
        people.add_token(tx, full)
        if not need:
            people.signed_in(tx, user.org, user.name, now)
        return full, ended


def half(tx: Tx, challenge: str, need: str, now: int) -> tuple[Token, User]:
    """The half session of this secret, and whose it is. Raises `AuthenticationError`."""
    token = people.token(tx, digest_of(challenge))
    if token is None or token.kind is not TokenKind.HALF or token.label != need:
        raise refused()
    user = people.user(tx, token.org, token.user)
    if user is None or user.disabled or _is_over(token, now):
        raise refused()
    return token, user


def _is_over(token: Token, now: int) -> bool:
    return token.expires_at <= now or is_early(token.created_at, now)


def make_room(tx: Tx, user: User) -> list[str]:
    """The oldest session goes when there are too many; an API token is never ended in silence.

    Half a session goes before a whole one: who knows a password alone ends nobody's sessions.
    """
    held = people.tokens_of(tx, user.org, user.name)
    if len(held) < MAX_TOKENS:
        return []
    sessions = [token for token in held if token.kind is not TokenKind.API]
    if not sessions:
        raise ValidationError(
            "too_many_tokens", f"a user has at most {MAX_TOKENS} tokens: end one first"
        )
    gone = min(sessions, key=lambda token: token.kind is not TokenKind.HALF)  # min takes the first
    people.drop_token(tx, user.org, gone.id)
    return [gone.id]


def _role(tx: Tx, user: User, acting: str) -> Role:
    if not acting:
        return user.role
    member = members.membership(tx, acting, user.org, user.name)
    if member is None:
        raise AuthorizationError(
            "not_a_member",
            "you are no member of this organization: ask its owners for an invitation",
        )
    return member.role


def _need(tx: Tx, user: User, acting: str) -> str:
    if factors.is_active(tx, user.org, user.name):
        return SECOND_FACTOR
    return ENROLMENT if demanded(tx, user.org, acting) else ""


def demanded_of(tx: Tx, org: str, name: str) -> bool:
    """Whether the home of an account, or an organization in which it is a guest, wants one."""
    return demanded(tx, org, *(row.org for row in members.memberships_of(tx, org, name)))


def demanded(tx: Tx, *orgs: str) -> bool:
    """Whether one of these organizations wants a second factor of everybody."""
    found = [people.organization(tx, org) for org in orgs if org]
    return any(row is not None and row.second_factor for row in found)
