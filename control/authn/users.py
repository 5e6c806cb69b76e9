"""Organizations and their users. No caller changes an account of a higher role."""

from msgspec.structs import replace

from actors import World
from control.authn.attempts import Purpose, clear_attempts
from control.authn.passwords import Passwords
from control.authn.session_ends import PublishChanges, SessionEnds
from control.errors import AuthorizationError, ConflictError, NotFoundError
from control.model.names import require_slug
from control.model.people import Caller, Organization, Role, TokenKind, User
from control.store import members, people, second_factors
from control.store.rows import Tx
from control.store.store import Store


class Users:
    """Accounts and organizations."""

    def __init__(
        self, store: Store, passwords: Passwords, session_ends: SessionEnds, world: World
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._session_ends = session_ends
        self._world = world

    async def create_organization(self, org: str, title: str) -> Organization:
        """A new tenant. Raises `ConflictError`."""
        made = Organization(require_slug(org, "id"), title, self._world.now())
        await self._store.write(lambda tx: people.add_organization(tx, made))
        return made

    async def get_organization(self, org: str) -> Organization:
        """Raises `NotFoundError`."""
        found = await self._store.read(lambda tx: people.get_organization(tx, org))
        if found is None:
            raise NotFoundError("not_found", "there is no such organization")
        return found

    async def change_organization(
        self, org: str, *, title: str | None, second_factor: bool | None
    ) -> Organization:
        """Change its title, or whether everybody needs a second factor.

        Sessions of people without a second factor end when it becomes required; they set one up at
        their next login. Raises `NotFoundError`.
        """

        def change(tx: Tx) -> tuple[Organization, list[str]]:
            row = people.get_organization(tx, org)
            if row is None:
                raise NotFoundError("not_found", "there is no such organization")
            changed = replace(
                row,
                title=row.title if title is None else title,
                second_factor=row.second_factor if second_factor is None else second_factor,
            )
            people.put_organization(tx, changed, self._world.now())
            begins = changed.second_factor and not row.second_factor
            return changed, _end_sessions_without(tx, org) if begins else []

        changed, ended = await self._store.write(change)
        self._session_ends.publish_ended(ended)
        return changed

    async def list_organizations(self, after: str, limit: int) -> list[Organization]:
        """Organizations by id, page by page."""
        return await self._store.read(lambda tx: people.list_organizations(tx, after, limit))

    async def create_user(
        self, by: Caller | None, org: str, name: str, role: Role, password: str
    ) -> User:
        """Make a user. `by` None: the control plane itself, at its first start."""
        require_slug(name, "name")
        check_rank(by, role)
        hashed, now = await self._passwords.hash_password(password), self._world.now()
        made = User(
            org, name, role, hashed, disabled=False, created_at=now, changed_at=now, last_login=0
        )

        def change(tx: Tx) -> None:
            if people.get_organization(tx, org) is None:
                raise NotFoundError("not_found", "there is no such organization")
            people.add_user(tx, made)

        await self._store.write(change)
        return made

    async def get_user(self, org: str, name: str) -> User:
        """Raises `NotFoundError`."""
        return await self._store.read(lambda tx: require_user(tx, org, name))

    async def list_users(self, org: str, after: str, limit: int) -> list[User]:
        """Users by name, page by page."""
        return await self._store.read(lambda tx: people.list_users(tx, org, after, limit))

    async def change_user(
        self, by: Caller, org: str, name: str, *, role: Role | None, disabled: bool | None
    ) -> User:
        """Change the role, or whether the user can sign in. The user's credentials end.

        What acts by authority that the user has lost stops (`SessionEnds.withdraw_authority`).
        """
        now = self._world.now()

        def change(tx: Tx) -> tuple[User, list[str], PublishChanges]:
            user = require_user(tx, org, name)
            check_rank(by, user.role)
            changed = replace(
                user,
                role=user.role if role is None else role,
                disabled=user.disabled if disabled is None else disabled,
                changed_at=max(now, user.changed_at + 1),
            )
            check_rank(by, changed.role)
            people.put_user(tx, changed)
            _require_remaining_owner(tx, org)
            ended = people.delete_tokens(tx, org, name)
            return changed, ended, self._session_ends.withdraw_authority(tx, org, name)

        changed, ended, publish = await self._store.write(change)
        self._session_ends.publish_ended(ended)
        publish()
        return changed

    async def set_password(self, by: Caller | None, org: str, name: str, password: str) -> None:
        """Another password; every credential of the user ends, so that a thief's does too.

        `by` None: the user, who has shown the old one. Where somebody else sets it, the account
        may have been in wrong hands: what it has issued and nobody has used is withdrawn
        (`SessionEnds.withdraw_pending`).
        """
        await self._store.read(
            lambda tx: check_credential_rank(tx, by, require_user(tx, org, name))
        )
        hashed, now = await self._passwords.hash_password(password), self._world.now()

        def change(tx: Tx) -> tuple[list[str], PublishChanges]:
            user = require_user(tx, org, name)
            check_credential_rank(tx, by, user)
            changed_at = max(now, user.changed_at + 1)
            people.put_user(tx, replace(user, password=hashed, changed_at=changed_at))
            clear_attempts(tx, org, name, Purpose.SIGN_IN, Purpose.CONFIRM)
            ended = people.delete_tokens(tx, org, name)
            if by is None or by.account == (org, name):
                return ended, _publish_nothing
            return ended, self._session_ends.withdraw_pending(tx, org, name)

        ended, publish = await self._store.write(change)
        self._session_ends.publish_ended(ended)
        publish()

    async def delete_user(self, by: Caller, org: str, name: str) -> None:
        """Remove the account and its credentials; its name stays in the audit log."""
        now = self._world.now()

        def change(tx: Tx) -> tuple[list[str], PublishChanges]:
            check_rank(by, require_user(tx, org, name).role)
            ended = people.delete_user(tx, org, name, now)
            _require_remaining_owner(tx, org)
            return ended, self._session_ends.withdraw_authority(tx, org, name)

        ended, publish = await self._store.write(change)
        self._session_ends.publish_ended(ended)
        publish()


def _publish_nothing() -> None:
    """Nothing was withdrawn."""


def require_user(tx: Tx, org: str, name: str) -> User:
    """The account. Raises `NotFoundError`."""
    user = people.get_user(tx, org, name)
    if user is None:
        raise NotFoundError("not_found", "there is no such user")
    return user


def check_rank(by: Caller | None, role: Role) -> None:
    """Raise `AuthorizationError` for a role above the caller's."""
    if by is not None and not by.is_platform and not by.role.covers(role):
        raise AuthorizationError(
            "role_above_own", "this user has, or would have, a higher role than you"
        )


def check_credential_rank(tx: Tx, by: Caller | None, user: User) -> None:
    """As `check_rank`, for callers who give the account another credential.

    A credential opens every organization of the account. An admin at home who set the password of a
    guest of another organization could act as that guest. What takes something away (to disable, to
    delete) needs the rank at home alone.
    """
    check_rank(by, user.role)
    if by is None or by.is_platform or by.account == (user.org, user.name):
        return
    for row in members.list_memberships(tx, user.org, user.name):
        own = _role_in(tx, by, row.org)
        if own is None or not own.covers(row.role):
            raise AuthorizationError(
                "role_above_own",
                "this account has a higher role than you in another organization: its owner uses "
                "recovery codes or changes the password, or a super-admin does it",
            )


def _role_in(tx: Tx, caller: Caller, org: str) -> Role | None:
    """The role of the caller's account in an organization, at most the caller's current one."""
    home, name = caller.account
    if org == home:
        account = people.get_user(tx, home, name)
        role = None if account is None else account.role
    else:
        member = members.get_membership(tx, org, home, name)
        role = None if member is None else member.role
    return caller.role if role is not None and role.covers(caller.role) else role


def _end_sessions_without(tx: Tx, org: str) -> list[str]:
    """End the sessions in an organization of people without a second factor; the ids.

    Sessions of guests who have one and did not show it end, too: what their home requires is not
    known here.
    """
    gone = [
        token
        for token in people.list_acting_tokens(tx, org)
        if token.kind is not TokenKind.API
        and (
            (token.acting and not token.factor_at)
            or not second_factors.has_active_factor(tx, token.org, token.user)
        )
    ]
    for token in gone:
        people.delete_token(tx, token.org, token.id)
    return [token.id for token in gone]


def _require_remaining_owner(tx: Tx, org: str) -> None:
    if people.count_owners(tx, org) == 0:
        raise ConflictError(
            "last_owner", "an organization needs at least one owner: make another owner first"
        )
