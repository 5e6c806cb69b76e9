"""Signing in, and the credentials that come of it."""

from typing import Final

from msgspec.structs import replace

from actors import World
from control.authn import lockout
from control.authn.endings import Endings
from control.authn.passwords import Passwords
from control.authn.sessions import Rules, refused
from control.crypto import digest_of, mint
from control.errors import AuthorizationError, NotFoundError, ValidationError
from control.model.names import is_slug
from control.model.people import Caller, Origin, Role, Token, TokenKind, User
from control.store import people
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND

MAX_TOKEN: Final = 366 * 86_400 * SECOND
MAX_TOKENS: Final = 100  # of one user: sessions and API tokens
SESSION_PREFIX: Final = "fhs"
TOKEN_PREFIX: Final = "fhu"


class Accounts:
    """Who somebody is. Every refusal says the same, whatever was wrong."""

    def __init__(
        self, store: Store, passwords: Passwords, ends: Endings, rules: Rules, world: World
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._ends = ends
        self._rules = rules
        self._world = world

    async def login(
        self,
        org: str,
        name: str,
        password: str,
        origin: Origin = Origin(),  # noqa: B008  # frozen
        *,
        kind: TokenKind = TokenKind.SESSION,
    ) -> tuple[str, Token]:
        """A new session: its secret and what is kept of it. Raises `AuthenticationError`.

        The secret is always a new one, whatever the caller came with: nobody can plant it.
        """
        if not (is_slug(org) and is_slug(name)):
            org, name = "-", "-"  # not a name of anybody; the work is done all the same
        now = self._world.now()
        user, counted = await self._store.write(lambda tx: _attempt(tx, org, name, now))
        stored = user.password if user is not None and not user.disabled else None
        fine = await self._passwords.matches(stored, password)
        if user is None or not fine or not counted:
            raise refused()
        secret = mint(SESSION_PREFIX)
        token = replace(
            self._token(user, secret, kind, user.role, "login"),
            ip=origin.ip,
            user_agent=origin.user_agent,
        )
        self._ends.tell(await self._store.write(lambda tx: _signed_in(tx, user, token, now)))
        return secret, token

    async def create_token(
        self, caller: Caller, label: str, role: Role, seconds: int
    ) -> tuple[str, Token]:
        """A new API token of the caller: its secret, shown once, and what is kept of it."""
        if not caller.role.covers(role):
            raise AuthorizationError("role_above_own", "a token cannot do more than its owner")
        if not 0 < seconds * SECOND <= MAX_TOKEN:
            raise ValidationError("ttl_invalid", "ttl is 1 second to 366 days", field="ttl")
        secret = mint(TOKEN_PREFIX)

        now = self._world.now()

        def change(tx: Tx) -> list[str]:
            user = people.user(tx, caller.org, caller.name)
            if user is None:
                raise refused()
            ended = _make_room(tx, user)
            people.add_token(tx, made)
            return ended

        owner = await self._store.read(lambda tx: people.user(tx, caller.org, caller.name))
        if owner is None:
            raise refused()
        made = replace(
            self._token(owner, secret, TokenKind.API, role, label),
            expires_at=now + seconds * SECOND,
        )
        self._ends.tell(await self._store.write(change))
        return secret, made

    async def tokens(self, caller: Caller, org: str) -> list[Token]:
        """The caller's own; those of everybody in `org` for an admin of it."""
        everybody = caller.org != org or caller.role.covers(Role.ADMIN)
        name = "" if everybody else caller.name
        return await self._store.read(lambda tx: people.tokens_of(tx, org, name))

    async def revoke(self, caller: Caller, org: str, token_id: str) -> None:
        """End a token: one's own, or as an admin that of somebody who is not above. Else 404."""

        def change(tx: Tx) -> None:
            token = next((t for t in people.tokens_of(tx, org) if t.id == token_id), None)
            if token is None:
                raise NotFoundError("not_found", "there is no such token")
            if not caller.is_platform and (caller.org, caller.name) != (org, token.user):
                owner = people.user(tx, org, token.user)
                above = owner is not None and not caller.role.covers(owner.role)
                if above or not caller.role.covers(Role.ADMIN):
                    raise NotFoundError("not_found", "there is no such token")
            people.drop_token(tx, org, token_id)

        await self._store.write(change)
        self._ends.tell([token_id])

    async def sweep(self) -> None:
        """Clear away what has expired; it was refused already."""
        now = self._world.now()
        await self._store.write(lambda tx: people.sweep_tokens(tx, now))
        await self._store.write(lambda tx: people.sweep_failures(tx, now - lockout.DURATION))

    def _token(self, user: User, secret: str, kind: TokenKind, role: Role, label: str) -> Token:
        """A session; an API token has its own end."""
        now = self._world.now()
        return Token(
            digest=digest_of(secret),
            id=self._world.new_id(),
            org=user.org,
            user=user.name,
            kind=kind,
            label=label,
            role=role,
            created_at=now,
            expires_at=now + self._rules.absolute,
            seen_at=now if kind is TokenKind.BROWSER else 0,
        )


def _attempt(tx: Tx, org: str, name: str, now: int) -> tuple[User | None, bool]:
    count, last_at = people.failures(tx, org, name)
    counted = lockout.attempt(count, last_at, now)
    if counted is not None:
        people.put_failures(tx, org, name, counted, now)
    return people.user(tx, org, name), counted is not None


def _signed_in(tx: Tx, user: User, token: Token, now: int) -> list[str]:
    current = people.user(tx, user.org, user.name)
    if current is None or current.disabled or current.changed_at != user.changed_at:
        raise refused()  # somebody changed the account while the password was being checked
    people.clear_failures(tx, user.org, user.name)
    ended = _make_room(tx, user)
    people.add_token(tx, token)
    people.signed_in(tx, user.org, user.name, now)
    return ended


def _make_room(tx: Tx, user: User) -> list[str]:
    """The oldest session goes when there are too many; an API token is never ended in silence."""
    held = people.tokens_of(tx, user.org, user.name)
    if len(held) < MAX_TOKENS:
        return []
    sessions = [token for token in held if token.kind is not TokenKind.API]
    if not sessions:
        raise ValidationError("too_many_tokens", f"a user has at most {MAX_TOKENS} tokens")
    people.drop_token(tx, user.org, sessions[0].id)
    return [sessions[0].id]
