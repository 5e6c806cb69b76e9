"""Invitations: one person, by email address, becomes a member, once, within a week.

The link's secret is derived from our sealing key: whoever sends the mail can make the link again,
and the database alone reveals it to nobody.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors import World
from actors.slewed_clock import has_expired
from control.authn.passwords import Passwords
from control.authn.session_opener import SessionOpener, SessionRequest
from control.authn.users import check_rank
from control.crypto import Sealer, secret_digest
from control.errors import ConflictError, NotFoundError
from control.model.identity import Invitation
from control.model.names import normalize_address, require_slug
from control.model.notices import INVITATION, Kind, Notice
from control.model.people import Caller, Membership, Role, Token, User
from control.model.records import Severity
from control.store import invitations, members, notices, people
from control.store.authority import role_in
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import DAY

INVITATION_LIFETIME: Final = 7 * DAY
MAX_OPEN: Final = 1000  # of one organization


class InvitationDetails(Struct, frozen=True):
    """What the holder of the link sees."""

    organization: str
    title: str
    email: str
    role: Role
    expires_at: int


class Invitations:
    """Invitations of all organizations."""

    def __init__(
        self,
        store: Store,
        passwords: Passwords,
        sealer: Sealer,
        session_opener: SessionOpener,
        world: World,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._sealer = sealer
        self._opening = session_opener
        self._world = world

    async def create_invitation(
        self, by: Caller, org: str, email: str, role: Role, *, mail: bool = False
    ) -> tuple[str, Invitation]:
        """Make an invitation; the link's secret and the stored row.

        An older invitation of the address ends. `mail`: send the link by mail.
        """
        check_rank(by, role)
        now, identifier = self._world.now(), self._world.new_id()
        made = Invitation(
            org=org,
            id=identifier,
            digest=secret_digest(self.link_secret(org, identifier)),
            email=normalize_address(email),
            role=role,
            created_by=by.actor,
            created_at=now,
            expires_at=now + INVITATION_LIFETIME,
            used_at=0,
            used_by="",
        )
        invited = Notice(
            identifier, org, Kind.INVITED, INVITATION, Severity.INFO, "", identifier, "", now
        )

        def change(tx: Tx) -> None:
            if invitations.count_open_invitations(tx, org, now) >= MAX_OPEN:
                raise ConflictError(
                    "too_many_invitations",
                    f"{MAX_OPEN} invitations are open: withdraw some, or wait until they expire",
                )
            invitations.delete_open_invitations(tx, org, made.email)
            invitations.add_invitation(tx, made)
            if mail:
                notices.enqueue_notices(tx, invited)

        await self._store.write(change)
        return self.link_secret(org, identifier), made

    def link_secret(self, org: str, identifier: str) -> str:
        """The secret at the end of the invitation's link."""
        return self._sealer.derive_secret("fhi", "invitation", org, identifier)

    async def list_invitations(self, org: str) -> list[Invitation]:
        """Invitations, the newest first."""
        return await self._store.read(lambda tx: invitations.list_invitations(tx, org))

    async def revoke_invitation(self, by: Caller, org: str, identifier: str) -> None:
        """End one that nobody has used. Raises `NotFoundError`."""

        def change(tx: Tx) -> None:
            row = invitations.get_invitation(tx, org, identifier)
            if row is None or row.used_at:
                raise _not_found()
            check_rank(by, row.role)
            invitations.delete_invitation(tx, org, identifier)

        await self._store.write(change)

    async def get_details(self, secret: str) -> InvitationDetails:
        """What a link is for. Raises `NotFoundError` for a link that is not valid any more."""
        now = self._world.now()

        def query(tx: Tx) -> InvitationDetails:
            row = require_invitation(tx, secret, now)
            organization = people.get_organization(tx, row.org)
            title = "" if organization is None else organization.title
            return InvitationDetails(row.org, title, row.email, row.role, row.expires_at)

        return await self._store.read(query)

    async def accept_invitation(
        self, secret: str, name: str, password: str, way: SessionRequest
    ) -> tuple[str, Token]:
        """Make an account and sign in. Raises `NotFoundError`, `ConflictError` for a taken name."""
        require_slug(name, "name")
        await self.get_details(secret)  # before the work that a password is
        hashed, now = await self._passwords.hash_password(password), self._world.now()

        def change(tx: Tx) -> User:
            row = require_invitation(tx, secret, now)
            user = User(
                row.org, name, row.role, hashed, disabled=False, created_at=now, changed_at=now,
                last_login=0, email=row.email,
            )  # fmt: skip
            people.add_user(tx, user)
            mark_used(tx, row, user, now)
            return user

        return await self._opening.open_session(await self._store.write(change), way)

    async def join_organization(self, caller: Caller, secret: str) -> Membership:
        """The caller's account becomes a member. Raises `NotFoundError`, `ConflictError`."""
        (home, name), now = caller.account, self._world.now()

        def change(tx: Tx) -> Membership:
            row, user = require_invitation(tx, secret, now), people.get_user(tx, home, name)
            if user is None:
                raise _not_found()
            if row.org == home or members.get_membership(tx, row.org, home, name) is not None:
                raise ConflictError(
                    "member_already", "you are a member already: switch to the organization"
                )
            made = Membership(row.org, home, name, row.role, row.created_by, now)
            members.put_membership(tx, made, now)
            mark_used(tx, row, user, now)
            return made

        return await self._store.write(change)

    async def delete_expired(self) -> None:
        """Delete invitations that expired a while ago."""
        before = self._world.now() - INVITATION_LIFETIME
        await self._store.write(lambda tx: invitations.delete_expired_invitations(tx, before))


def require_invitation(tx: Tx, secret: str, now: int) -> Invitation:
    """The valid invitation of this link. Raises `NotFoundError` for any other."""
    row = invitations.get_invitation_by_digest(tx, secret_digest(secret))
    over = row is None or row.used_at or has_expired(row.created_at, row.expires_at, now)
    if row is None or over or not is_inviter_authorized(tx, row):
        raise _not_found()
    return row


def is_inviter_authorized(tx: Tx, row: Invitation) -> bool:
    """Whether the inviter could make this invitation now: it is worth no more."""
    role = role_in(tx, row.org, row.created_by, since=row.created_at)
    return role is not None and role.covers(Role.ADMIN) and role.covers(row.role)


def mark_used(tx: Tx, row: Invitation, user: User, now: int) -> None:
    """Mark it as used."""
    invitations.put_invitation(tx, replace(row, used_at=now, used_by=f"{user.org}/{user.name}"))


def _not_found() -> NotFoundError:
    return NotFoundError("invitation_invalid", "this invitation is not valid: ask for another")
