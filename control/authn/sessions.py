"""Credentials in use: whose they are, how long they are valid, and how they end.

A browser's session has a cookie and a session key, which are valid together and nowhere else, and
ends after some time without use. Any change of an account ends its credentials.
"""

from typing import Final

import trio
from msgspec import Struct

from actors import World
from actors.slewed_clock import is_early
from control.authn.cookies import require_same_origin
from control.authn.session_ends import SessionEnds
from control.crypto import secret_digest
from control.errors import AuthenticationError, AuthorizationError, NotFoundError
from control.model.operation import BrowserCredentials, Operation
from control.model.people import Caller, Role, Token, TokenKind, User
from control.store import members, people
from control.store.rows import Tx
from control.store.store import Store
from protocols.http.session_key import HEADER
from protocols.instant import HOUR, MINUTE, SECOND

TOUCH_INTERVAL: Final = MINUTE  # how exact the last use is: not each request is a write
RECHECK_INTERVAL: Final = 15 * SECOND  # how soon it is known here what another process ended
STEP_UP_LIFETIME: Final = 600 * SECOND  # how long a person has shown "lately" who it is
NEVER_OLD: Final = 2**63 - 1  # a program cannot be asked; to make it a token, its owner was
SESSION_KEY: Final = "session_key"
_BEARERS: Final = frozenset({TokenKind.SESSION, TokenKind.API})
_BROWSERS: Final = frozenset({TokenKind.BROWSER})


class SessionLimits(Struct, frozen=True):
    """How long a session lasts, and a browser's without use; nanoseconds."""

    absolute: int = 12 * HOUR
    idle: int = 2 * HOUR


class ActiveSession(Struct, frozen=True):
    """A valid credential, its caller, and (nanoseconds) its end unless it is used."""

    caller: Caller
    token: Token
    until: int


class Sessions:
    """Authenticates callers. Every refusal has the same text, whatever was wrong."""

    def __init__(
        self, store: Store, session_ends: SessionEnds, limits: SessionLimits, world: World
    ) -> None:
        self._store = store
        self._session_ends = session_ends
        self._rules = limits
        self._world = world

    async def identify(self, op: Operation) -> Caller:
        """The caller of an operation. A bearer credential goes before a browser's session.

        Raises `AuthenticationError`; `check_same_origin` raises `AuthorizationError` (`csrf`).
        """
        if op.credential:
            return await self.authenticate(op.credential)
        return (await self.authenticate_browser(op.browser)).caller

    async def authenticate(self, credential: str | None) -> Caller:
        """The caller of a bearer credential. Raises `AuthenticationError`."""
        return (await self._authenticate(credential, _BEARERS)).caller

    async def authenticate_browser(self, browser: BrowserCredentials) -> ActiveSession:
        """The session of a browser's cookie and session key; its use is recorded.

        Raises `AuthenticationError`, with the code `session_key` for a cookie alone.
        """
        if browser.cookie and not browser.session_key:
            raise AuthenticationError(
                SESSION_KEY,
                f"a session's cookie needs its session key beside it ({HEADER}): sign in again",
            )
        visit = await self._authenticate(browser.credential, _BROWSERS)
        now, digest = self._world.now(), visit.token.digest
        if now - visit.token.seen_at >= TOUCH_INTERVAL:
            await self._store.write(lambda tx: people.record_token_use(tx, digest, now))
        return visit

    async def token_of(self, caller: Caller) -> ActiveSession:
        """The caller's credential. Raises `AuthenticationError`."""
        found = await self._store.read(lambda tx: _own_token(tx, *caller.account, caller.token))
        if found is None:
            raise invalid_credential()
        return ActiveSession(found.caller, found.token, self._end(found.token))

    async def end_browser_session(self, browser: BrowserCredentials) -> None:
        """End the session that a browser had, if any, before it gets another."""
        try:
            visit = await self._authenticate(browser.credential, _BROWSERS)
        except AuthenticationError:
            return
        await self.logout(visit.caller)

    async def wait_ended(self, visit: ActiveSession) -> None:
        """Return once this session has ended, expired, or its account was changed.

        The caller then closes the live connection. To wait is no use of the session.
        """
        with self._session_ends.subscribe(visit.token.id) as told:
            while (until := await self._expiry(visit)) is not None:
                seconds = min(until - self._world.now(), RECHECK_INTERVAL) / SECOND
                with trio.move_on_after(max(seconds, 0.0)):
                    await told.wait()

    async def list_own(self, caller: Caller) -> list[Token]:
        """Valid sessions and tokens of the caller's account, the newest first."""
        now, account = self._world.now(), caller.account
        held = await self._store.read(lambda tx: people.list_tokens(tx, *account))
        return [
            token
            for token in reversed(held)
            if self._end(token) > now and token.kind is not TokenKind.HALF
        ]

    async def end_own(self, caller: Caller, token_id: str) -> None:
        """End one of the caller's own. Raises `NotFoundError`."""
        org, name = caller.account

        def change(tx: Tx) -> None:
            held = people.list_tokens(tx, org, name)
            if all(token.id != token_id for token in held):
                raise NotFoundError("not_found", "there is no such session")
            people.delete_token(tx, org, token_id)

        await self._store.write(change)
        self._session_ends.publish_ended([token_id])

    async def logout(self, caller: Caller) -> None:
        """End the caller's credential."""
        org, _ = caller.account
        await self._store.write(lambda tx: people.delete_token(tx, org, caller.token))
        self._session_ends.publish_ended([caller.token])

    async def record_proof(self, caller: Caller, *, factor: bool) -> None:
        """Record that this person has confirmed their identity; `factor`: by our second factor."""
        now, account, token = self._world.now(), caller.account, caller.token
        await self._store.write(
            lambda tx: people.record_proof(tx, *account, token, now, factor=factor)
        )

    def check_fresh(self, caller: Caller) -> None:
        """Raise `AuthorizationError` (`step_up`) when the confirmation is too long ago."""
        now, proven_at = self._world.now(), caller.proven_at
        early = proven_at != NEVER_OLD and is_early(proven_at, now)
        if early or now - proven_at > STEP_UP_LIFETIME:
            raise step_up_error()

    def check_person(self, caller: Caller) -> None:
        """Raise `AuthorizationError` for an API token, which cannot confirm an identity.

        Programs do not manage people: credentials, members, roles.
        """
        if caller.proven_at == NEVER_OLD:
            raise AuthorizationError("person_needed", "an API token cannot do this: sign in")

    async def _expiry(self, visit: ActiveSession) -> int | None:
        """When it ends by itself; None for a credential that is not valid."""
        found = await self._store.read(lambda tx: _holder(tx, visit.token.digest))
        if found is None or found.rights != _rights(visit.caller):
            return None
        until = self._end(found.token)
        return until if until > self._world.now() else None

    async def _authenticate(
        self, credential: str | None, kinds: frozenset[TokenKind]
    ) -> ActiveSession:
        if not credential:
            raise invalid_credential()
        digest = secret_digest(credential)
        found = await self._store.read(lambda tx: _holder(tx, digest))
        if found is None:
            raise invalid_credential()
        until = self._end(found.token)
        if found.token.kind not in kinds or until <= self._world.now():
            raise invalid_credential()
        return ActiveSession(found.caller, found.token, until)

    def _end(self, token: Token) -> int:
        """When it ends; 0, which is over, for one that was issued by a clock that was ahead."""
        if is_early(token.created_at, self._world.now()):
            return 0
        if token.kind is TokenKind.BROWSER:
            return min(token.expires_at, token.seen_at + self._rules.idle)
        return token.expires_at


def check_same_origin(op: Operation) -> None:
    """Raise `AuthorizationError` for a change that another site made a browser request.

    Browsers do not send a bearer credential by themselves: it needs no check.
    """
    if op.guarded and not op.credential:
        require_same_origin(op.browser)


def step_up_error() -> AuthorizationError:
    """The person has to confirm their identity; our programs then ask and repeat."""
    return AuthorizationError(
        "step_up", "confirm your identity: POST sessions/current/confirm, or sign in again"
    )


def invalid_credential() -> AuthenticationError:
    """The one answer to any credential that is not valid."""
    return AuthenticationError(
        "unauthenticated", "invalid credentials: sign in again, or check the token"
    )


class _CredentialHolder(Struct, frozen=True):
    token: Token
    caller: Caller

    @property
    def rights(self) -> tuple[str, str, Role]:
        return _rights(self.caller)


def _rights(caller: Caller) -> tuple[str, str, Role]:
    return caller.org, caller.actor, caller.role


def _holder(tx: Tx, digest: bytes) -> _CredentialHolder | None:
    """The account of a credential, if it exists, is enabled, and has the role."""
    token = people.get_token(tx, digest)
    user = None if token is None else people.get_user(tx, token.org, token.user)
    if token is None or user is None or user.disabled:
        return None
    held = _held_role(tx, token, user)
    if held is None:
        return None
    role = token.role if held.covers(token.role) else held  # the smaller of both
    home = token.org if token.acting else ""
    proven = NEVER_OLD if token.kind is TokenKind.API else token.proven_at
    return _CredentialHolder(
        token, Caller(token.acting or user.org, user.name, role, token.id, home, proven)
    )


def _held_role(tx: Tx, token: Token, user: User) -> Role | None:
    if not token.acting:
        return user.role
    member = members.get_membership(tx, token.acting, user.org, user.name)
    return None if member is None else member.role


def _own_token(tx: Tx, org: str, name: str, token_id: str) -> _CredentialHolder | None:
    held = people.list_tokens(tx, org, name)
    token = next((token for token in held if token.id == token_id), None)
    return None if token is None else _holder(tx, token.digest)
