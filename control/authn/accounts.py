"""Login with a password, and API tokens."""

from typing import Final

from actors import World
from control.authn import attempts
from control.authn.attempts import Purpose, clear_attempts, count_attempt
from control.authn.passwords import Passwords
from control.authn.session_ends import SessionEnds
from control.authn.session_opener import (
    PROGRAM_SESSION,
    SessionOpener,
    SessionRequest,
    evict_oldest_session,
)
from control.authn.sessions import invalid_credential
from control.crypto import new_bearer_secret, secret_digest
from control.errors import AuthenticationError, AuthorizationError, NotFoundError, ValidationError
from control.model.names import is_slug
from control.model.people import Caller, Role, Token, TokenKind, User
from control.store import people
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import DAY, SECOND

MAX_TOKEN: Final = 366 * DAY
TOKEN_PREFIX: Final = "fhu"


class Accounts:
    """Checks passwords. Every refusal has the same text, whatever was wrong."""

    def __init__(
        self,
        store: Store,
        passwords: Passwords,
        session_opener: SessionOpener,
        session_ends: SessionEnds,
        world: World,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._opening = session_opener
        self._session_ends = session_ends
        self._world = world

    async def login(
        self, org: str, name: str, password: str, way: SessionRequest = PROGRAM_SESSION
    ) -> tuple[str, Token]:
        """Sign in; the secret and the stored row of a session, or of half a session.

        A half session waits for the second factor (`SessionOpener`). Raises `AuthenticationError`.
        """
        return await self._opening.open_session(
            await self.verify_password(org, name, password), way
        )

    async def verify_password(
        self, org: str, name: str, password: str, purpose: Purpose = Purpose.SIGN_IN
    ) -> User:
        """The account with this name and password. Raises `AuthenticationError`."""
        if not (is_slug(org) and is_slug(name)):
            org, name = "-", "-"  # not a name of anybody; the work is done all the same
        now = self._world.now()
        user, counted = await self._store.write(
            lambda tx: _count_attempt(tx, org, name, purpose, now)
        )
        stored = user.password if user is not None and not user.disabled else ""
        fine = await self._passwords.is_match(stored or None, password)
        if user is None or not fine or not counted:
            raise invalid_credential()
        return user

    async def is_own_password(self, caller: Caller, password: str) -> bool:
        """Whether this is the caller's password. Failed logins by strangers do not lock it."""
        org, name = caller.account
        try:
            await self.verify_password(org, name, password, Purpose.CONFIRM)
        except AuthenticationError:
            return False
        await self._store.write(lambda tx: clear_attempts(tx, org, name, Purpose.CONFIRM))
        return True

    async def create_token(
        self, caller: Caller, label: str, role: Role, seconds: int
    ) -> tuple[str, Token]:
        """Make an API token of the caller; its secret, shown once, and the stored row."""
        if not caller.role.covers(role):
            raise AuthorizationError("role_above_own", "a token cannot do more than its owner")
        if not 0 < seconds * SECOND <= MAX_TOKEN:
            raise ValidationError("ttl_invalid", "ttl is 1 second to 366 days", field="ttl")
        secret, (org, name), now = (
            new_bearer_secret(TOKEN_PREFIX),
            caller.account,
            self._world.now(),
        )
        made = Token(
            digest=secret_digest(secret),
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
            user = people.get_user(tx, org, name)
            if user is None:
                raise invalid_credential()
            ended = evict_oldest_session(tx, user)
            people.add_token(tx, made)
            return ended

        self._session_ends.publish_ended(await self._store.write(change))
        return secret, made

    async def list_tokens(self, caller: Caller, org: str) -> list[Token]:
        """The caller's own tokens in `org`, also a guest's; everybody's for an admin."""
        if caller.is_platform or caller.role.covers(Role.ADMIN):
            return await self._store.read(lambda tx: people.list_tokens(tx, org))
        account = caller.account
        own = await self._store.read(lambda tx: people.list_tokens(tx, *account))
        return [token for token in own if org in (token.org, token.acting)]

    async def revoke_token(self, caller: Caller, org: str, token_id: str) -> None:
        """End a token of the caller, or, as an admin, of an account of no higher role.

        Raises `NotFoundError`.
        """

        def change(tx: Tx) -> None:
            token = next((t for t in people.list_tokens(tx, org) if t.id == token_id), None)
            if token is None:
                raise NotFoundError("not_found", "there is no such token")
            if not caller.is_platform and caller.account != (org, token.user):
                owner = people.get_user(tx, org, token.user)
                above = owner is not None and not caller.role.covers(owner.role)
                if above or not caller.role.covers(Role.ADMIN):
                    raise NotFoundError("not_found", "there is no such token")
            people.delete_token(tx, org, token_id)

        await self._store.write(change)
        self._session_ends.publish_ended([token_id])

    async def delete_expired(self) -> None:
        """Delete tokens and counters that have expired. They were refused already."""
        now = self._world.now()
        await self._store.write(lambda tx: people.delete_expired_tokens(tx, now))
        await self._store.write(
            lambda tx: people.delete_older_failures(tx, now - attempts.LOCKOUT_DURATION)
        )


def _count_attempt(
    tx: Tx, org: str, name: str, purpose: Purpose, now: int
) -> tuple[User | None, bool]:
    return people.get_user(tx, org, name), count_attempt(tx, org, name, purpose, now)
