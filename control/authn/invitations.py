"""Invitations: for one person, by email address, to become a member once, within a week.

The link's secret follows from a key of ours, so that whoever sends the mail can make the link again
while the database alone gives it to nobody.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors import World
from actors.slewed_clock import is_early
from control.authn.opening import Opening, Way
from control.authn.passwords import Passwords
from control.authn.users import check_rank
from control.crypto import Sealer, digest_of
from control.errors import ConflictError, NotFoundError
from control.model.factors import Invitation
from control.model.names import address, slug
from control.model.notices import INVITATION, Kind, Notice
from control.model.people import PLATFORM, Caller, Membership, Role, Token, User
from control.model.records import Severity
from control.store import invitations, members, notices, people
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND

LIFE: Final = 7 * 86_400 * SECOND
MAX_OPEN: Final = 1000  # of one organization


class Shown(Struct, frozen=True):
    """What somebody who has the link is told."""

    organization: str
    title: str
    email: str
    role: Role
    expires_at: int


class Invitations:
    """Of all organizations."""

    def __init__(
        self, store: Store, passwords: Passwords, sealer: Sealer, opening: Opening, world: World
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._sealer = sealer
        self._opening = opening
        self._world = world

    async def create(
        self, by: Caller, org: str, email: str, role: Role, *, mail: bool = False
    ) -> tuple[str, Invitation]:
        """The link's secret, and what is kept. An older one for the address ends.

        `mail`: have its link mailed.
        """
        check_rank(by, role)
        now, identifier = self._world.now(), self._world.new_id()
        made = Invitation(
            org=org,
            id=identifier,
            digest=digest_of(self.secret(org, identifier)),
            email=address(email),
            role=role,
            created_by=by.actor,
            created_at=now,
            expires_at=now + LIFE,
            used_at=0,
            used_by="",
        )
        invited = Notice(
            identifier, org, Kind.INVITED, INVITATION, Severity.INFO, "", identifier, "", now
        )

        def change(tx: Tx) -> None:
            if invitations.count_open(tx, org, now) >= MAX_OPEN:
                raise ConflictError(
                    "too_many_invitations",
                    f"{MAX_OPEN} are open already: withdraw some, or wait for their end",
                )
            invitations.drop_open(tx, org, made.email)
            invitations.add_invitation(tx, made)
            if mail:
                notices.post(tx, invited)

        await self._store.write(change)
        return self.secret(org, identifier), made

    def secret(self, org: str, identifier: str) -> str:
        """What the link of this invitation ends with; for whoever sends the mail."""
        return self._sealer.derive("fhi", "invitation", org, identifier)

    async def page(self, org: str) -> list[Invitation]:
        """The newest first."""
        return await self._store.read(lambda tx: invitations.invitations_of(tx, org))

    async def revoke(self, by: Caller, org: str, identifier: str) -> None:
        """End one that nobody has used. Raises `NotFoundError`."""

        def change(tx: Tx) -> None:
            row = invitations.invitation(tx, org, identifier)
            if row is None or row.used_at:
                raise _none()
            check_rank(by, row.role)
            invitations.drop_invitation(tx, org, identifier)

        await self._store.write(change)

    async def look(self, secret: str) -> Shown:
        """What it is for. Raises `NotFoundError` for one that counts no longer."""
        now = self._world.now()

        def query(tx: Tx) -> Shown:
            row = found(tx, secret, now)
            organization = people.organization(tx, row.org)
            title = "" if organization is None else organization.title
            return Shown(row.org, title, row.email, row.role, row.expires_at)

        return await self._store.read(query)

    async def accept(self, secret: str, name: str, password: str, way: Way) -> tuple[str, Token]:
        """A new account, signed in. Raises `NotFoundError`, `ConflictError` for a taken name."""
        slug(name, "name")
        await self.look(secret)  # before the work that a password is
        hashed, now = await self._passwords.hash(password), self._world.now()

        def change(tx: Tx) -> User:
            row = found(tx, secret, now)
            user = User(
                row.org, name, row.role, hashed, disabled=False, created_at=now, changed_at=now,
                last_login=0, email=row.email,
            )  # fmt: skip
            people.add_user(tx, user)
            spend(tx, row, user, now)
            return user

        return await self._opening.open(await self._store.write(change), way)

    async def join(self, caller: Caller, secret: str) -> Membership:
        """The caller's account becomes a member. Raises `NotFoundError`, `ConflictError`."""
        (home, name), now = caller.account, self._world.now()

        def change(tx: Tx) -> Membership:
            row, user = found(tx, secret, now), people.user(tx, home, name)
            if user is None:
                raise _none()
            if row.org == home or members.membership(tx, row.org, home, name) is not None:
                raise ConflictError(
                    "member_already", "you are a member of it already: switch to it"
                )
            made = Membership(row.org, home, name, row.role, row.created_by, now)
            members.put_membership(tx, made, now)
            spend(tx, row, user, now)
            return made

        return await self._store.write(change)

    async def sweep(self) -> None:
        """Clear away what expired a while ago."""
        before = self._world.now() - LIFE
        await self._store.write(lambda tx: invitations.sweep(tx, before))


def found(tx: Tx, secret: str, now: int) -> Invitation:
    """The invitation of this link. Raises `NotFoundError`, whatever is wrong with it."""
    row = invitations.by_digest(tx, digest_of(secret))
    over = row is None or row.used_at or row.expires_at <= now or is_early(row.created_at, now)
    if row is None or over or not is_backed(tx, row):
        raise _none()
    return row


def is_backed(tx: Tx, row: Invitation) -> bool:
    """Whether whoever made the invitation could make it now: it is worth no more than that.

    An account of the same name that was made later is somebody else.
    """
    home, _, name = row.created_by.partition("/")
    user = people.user(tx, home, name)
    if user is None or user.disabled or user.created_at > row.created_at:
        return False
    if home == PLATFORM:
        return user.role is Role.OWNER
    role = user.role
    if home != row.org:
        member = members.membership(tx, row.org, home, name)
        if member is None or member.created_at > row.created_at:
            return False
        role = member.role
    return role.covers(Role.ADMIN) and role.covers(row.role)


def spend(tx: Tx, row: Invitation, user: User, now: int) -> None:
    """It was good once."""
    invitations.put_invitation(tx, replace(row, used_at=now, used_by=f"{user.org}/{user.name}"))


def _none() -> NotFoundError:
    return NotFoundError(
        "invitation_invalid", "this invitation does not count (any more): ask for another"
    )
