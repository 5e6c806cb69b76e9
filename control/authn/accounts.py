"""Signing in, and the credentials that come of it."""

from typing import Final

from actors import World
from control.authn import lockout
from control.authn.attempts import Purpose, forget, may_try
from control.authn.endings import Endings
from control.authn.opening import PROGRAM, Opening, Way, make_room
from control.authn.passwords import Passwords
from control.authn.sessions import refused
from control.crypto import digest_of, mint
from control.errors import AuthenticationError, AuthorizationError, NotFoundError, ValidationError
from control.model.names import is_slug
from control.model.people import Caller, Role, Token, TokenKind, User
from control.store import people
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND

MAX_TOKEN: Final = 366 * 86_400 * SECOND
TOKEN_PREFIX: Final = "fhu"


class Accounts:
    """Who somebody is. Every refusal says the same, whatever was wrong."""

    def __init__(
        self, store: Store, passwords: Passwords, opening: Opening, ends: Endings, world: World
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._opening = opening
        self._ends = ends
        self._world = world

    async def login(
        self, org: str, name: str, password: str, way: Way = PROGRAM
    ) -> tuple[str, Token]:
        """A secret and what is kept of it: a session, or half of one (`Opening`).

        Raises `AuthenticationError`.
        """
        return await self._opening.open(await self.recognise(org, name, password), way)

    async def recognise(
        self, org: str, name: str, password: str, purpose: Purpose = Purpose.SIGN_IN
    ) -> User:
        """Whose password this is. Raises `AuthenticationError`."""
        if not (is_slug(org) and is_slug(name)):
            org, name = "-", "-"  # not a name of anybody; the work is done all the same
        now = self._world.now()
        user, counted = await self._store.write(lambda tx: _attempt(tx, org, name, purpose, now))
        stored = user.password if user is not None and not user.disabled else ""
        fine = await self._passwords.matches(stored or None, password)
        if user is None or not fine or not counted:
            raise refused()
        return user

    async def is_password(self, caller: Caller, password: str) -> bool:
        """Whether it is the caller's. Strangers' attempts to sign in do not count against it."""
        org, name = caller.account
        try:
            await self.recognise(org, name, password, Purpose.CONFIRM)
        except AuthenticationError:
            return False
        await self._store.write(lambda tx: forget(tx, org, name, Purpose.CONFIRM))
        return True

    async def create_token(
        self, caller: Caller, label: str, role: Role, seconds: int
    ) -> tuple[str, Token]:
        """A new API token of the caller: its secret, shown once, and what is kept of it."""
        if not caller.role.covers(role):
            raise AuthorizationError("role_above_own", "a token cannot do more than its owner")
        if not 0 < seconds * SECOND <= MAX_TOKEN:
            raise ValidationError("ttl_invalid", "ttl is 1 second to 366 days", field="ttl")
        secret, (org, name), now = mint(TOKEN_PREFIX), caller.account, self._world.now()
        made = Token(
            digest=digest_of(secret),
            id=self._world.new_id(),
            org=org,
            user=name,
            kind=TokenKind.API,
            label=label,
            role=role,
            created_at=now,
            expires_at=now + seconds * SECOND,
            acting="" if caller.org == org else caller.org,
        )

        def change(tx: Tx) -> list[str]:
            user = people.user(tx, org, name)
            if user is None:
                raise refused()
            ended = make_room(tx, user)
            people.add_token(tx, made)
            return ended

        self._ends.tell(await self._store.write(change))
        return secret, made

    async def tokens(self, caller: Caller, org: str) -> list[Token]:
        """The caller's own in `org`, also a guest's; those of everybody for an admin of it."""
        if caller.is_platform or caller.role.covers(Role.ADMIN):
            return await self._store.read(lambda tx: people.tokens_of(tx, org))
        account = caller.account
        own = await self._store.read(lambda tx: people.tokens_of(tx, *account))
        return [token for token in own if org in (token.org, token.acting)]

    async def revoke(self, caller: Caller, org: str, token_id: str) -> None:
        """End a token: one's own, or as an admin that of somebody who is not above. Else 404."""

        def change(tx: Tx) -> None:
            token = next((t for t in people.tokens_of(tx, org) if t.id == token_id), None)
            if token is None:
                raise NotFoundError("not_found", "there is no such token")
            if not caller.is_platform and caller.account != (org, token.user):
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


def _attempt(tx: Tx, org: str, name: str, purpose: Purpose, now: int) -> tuple[User | None, bool]:
    return people.user(tx, org, name), may_try(tx, org, name, purpose, now)
