"""Credentials in use: who presents one, until when it counts, and how it ends.

A browser's session has a cookie for a credential, which counts nowhere else, and ends on its own
when it was not used for a while. Whatever changes an account ends all that its owner held.
"""

from typing import Final

import trio
from msgspec import Struct

from actors import World
from control.authn.cookies import check_csrf
from control.authn.endings import Endings
from control.crypto import csrf_of, digest_of
from control.errors import AuthenticationError, NotFoundError
from control.model.operation import Browser, Operation
from control.model.people import Caller, Token, TokenKind, User
from control.store import people
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND

TOUCH: Final = 60 * SECOND  # how exact the last use is: not each request is a write
RECHECK: Final = 15 * SECOND  # how soon it is known here what another process ended
_BEARERS: Final = frozenset({TokenKind.SESSION, TokenKind.API})
_COOKIES: Final = frozenset({TokenKind.BROWSER})


class Rules(Struct, frozen=True):
    """How long a session lasts at most, and one in a browser without use; nanoseconds."""

    absolute: int = 12 * 3600 * SECOND
    idle: int = 2 * 3600 * SECOND


class Visit(Struct, frozen=True):
    """A credential that counts, whose it is, and (nanoseconds) until when unless it is used."""

    caller: Caller
    token: Token
    until: int
    csrf: str = ""
    """What a page has to send back; empty but for a browser's session."""


class Sessions:
    """Who is there. Every refusal says the same, whatever was wrong."""

    def __init__(self, store: Store, ends: Endings, rules: Rules, world: World) -> None:
        self._store = store
        self._ends = ends
        self._rules = rules
        self._world = world

    async def identify(self, op: Operation) -> Caller:
        """Who asks. A bearer credential goes before a cookie, which needs proof that it is ours.

        Raises `AuthenticationError`; `AuthorizationError` (`csrf`) is `guard`'s.
        """
        if op.credential:
            return await self.authenticate(op.credential)
        return (await self.visit(op.browser)).caller

    async def authenticate(self, credential: str | None) -> Caller:
        """Whose bearer credential this is. Raises `AuthenticationError`."""
        return (await self._visit(credential, _BEARERS)).caller

    async def visit(self, browser: Browser) -> Visit:
        """The session of a browser's cookie; that it was used is noted.

        Raises `AuthenticationError`.
        """
        visit = await self._visit(browser.cookie, _COOKIES)
        now, digest = self._world.now(), visit.token.digest
        if now - visit.token.seen_at >= TOUCH:
            await self._store.write(lambda tx: people.touch_token(tx, digest, now))
        return visit

    async def of(self, caller: Caller, browser: Browser) -> Visit:
        """The credential that the caller came with. Raises `AuthenticationError`."""
        found = await self._store.read(lambda tx: _held(tx, caller.org, caller.name, caller.token))
        if found is None:
            raise refused()
        token, user = found
        csrf = csrf_of(browser.cookie) if token.kind is TokenKind.BROWSER else ""
        return Visit(_caller(token, user), token, self._end(token), csrf)

    async def leave(self, browser: Browser) -> None:
        """End the session that a browser had, if it had one: it gets another."""
        try:
            visit = await self._visit(browser.cookie, _COOKIES)
        except AuthenticationError:
            return
        await self.logout(visit.caller)

    async def ended(self, visit: Visit) -> None:
        """Returns once this session counts no longer: ended, expired, or its owner changed.

        A live connection that it opened has to be cut then. To wait is not to use it.
        """
        with self._ends.awaited(visit.token.id) as told:
            while (until := await self._until(visit)) is not None:
                seconds = min(until - self._world.now(), RECHECK) / SECOND
                with trio.move_on_after(max(seconds, 0.0)):
                    await told.wait()

    async def mine(self, caller: Caller) -> list[Token]:
        """What the caller could be signed in with now, the newest first."""
        now = self._world.now()
        held = await self._store.read(lambda tx: people.tokens_of(tx, caller.org, caller.name))
        return [token for token in reversed(held) if self._end(token) > now]

    async def end(self, caller: Caller, token_id: str) -> None:
        """End one of the caller's own. Raises `NotFoundError`."""

        def change(tx: Tx) -> None:
            held = people.tokens_of(tx, caller.org, caller.name)
            if all(token.id != token_id for token in held):
                raise NotFoundError("not_found", "there is no such session")
            people.drop_token(tx, caller.org, token_id)

        await self._store.write(change)
        self._ends.tell([token_id])

    async def logout(self, caller: Caller) -> None:
        """End the credential that the caller came with."""
        await self._store.write(lambda tx: people.drop_token(tx, caller.org, caller.token))
        self._ends.tell([caller.token])

    async def _until(self, visit: Visit) -> int | None:
        """When it ends by itself; None: it did, or does not count as what it did."""
        found = await self._store.read(lambda tx: _holder(tx, visit.token.digest))
        if found is None:
            return None
        token, user = found
        until = self._end(token)
        same_role = _caller(token, user) == visit.caller
        return until if same_role and not user.disabled and until > self._world.now() else None

    async def _visit(self, credential: str | None, kinds: frozenset[TokenKind]) -> Visit:
        if not credential:
            raise refused()
        digest = digest_of(credential)
        found = await self._store.read(lambda tx: _holder(tx, digest))
        if found is None:
            raise refused()
        token, user = found
        until = self._end(token)
        if token.kind not in kinds or user.disabled or until <= self._world.now():
            raise refused()
        csrf = csrf_of(credential) if token.kind is TokenKind.BROWSER else ""
        return Visit(_caller(token, user), token, until, csrf)

    def _end(self, token: Token) -> int:
        if token.kind is TokenKind.BROWSER:
            return min(token.expires_at, token.seen_at + self._rules.idle)
        return token.expires_at


def guard(op: Operation) -> None:
    """Raises `AuthorizationError` for a change that another site made somebody's browser ask for.

    A bearer credential is not sent by itself: it needs no more than itself.
    """
    if op.guarded and not op.credential:
        check_csrf(op.browser)


def refused() -> AuthenticationError:
    """The one answer to whatever does not count."""
    return AuthenticationError("unauthenticated", "these credentials do not count")


def _holder(tx: Tx, digest: bytes) -> tuple[Token, User] | None:
    token = people.token(tx, digest)
    user = None if token is None else people.user(tx, token.org, token.user)
    return None if token is None or user is None else (token, user)


def _held(tx: Tx, org: str, name: str, token_id: str) -> tuple[Token, User] | None:
    user = people.user(tx, org, name)
    held = people.tokens_of(tx, org, name) if user is not None else []
    token = next((token for token in held if token.id == token_id), None)
    return None if token is None or user is None else (token, user)


def _caller(token: Token, user: User) -> Caller:
    """With the smaller of both roles."""
    role = token.role if user.role.covers(token.role) else user.role
    return Caller(user.org, user.name, role, token.id)
