"""Accounts that are members of other organizations: a role in each, one account at home."""

from msgspec import Struct
from msgspec.structs import replace

from actors import World
from control.authn.session_ends import PublishChanges, SessionEnds
from control.authn.session_opener import SessionOpener, SessionRequest, any_requires_factor
from control.authn.sessions import invalid_credential, step_up_error
from control.authn.users import check_rank
from control.errors import AuthorizationError, NotFoundError
from control.model.people import Caller, Membership, Origin, Role, Token, TokenKind
from control.store import members, people, second_factors
from control.store.rows import Tx
from control.store.store import Store


class Belonging(Struct, frozen=True):
    """An organization that an account can act in, and as what."""

    id: str
    title: str
    role: Role


class Members:
    """Guests of organizations."""

    def __init__(
        self, store: Store, session_opener: SessionOpener, session_ends: SessionEnds, world: World
    ) -> None:
        self._store = store
        self._opening = session_opener
        self._session_ends = session_ends
        self._world = world

    async def organizations_of(self, caller: Caller) -> list[Belonging]:
        """The organizations of the caller's account, its home first."""
        home, name = caller.account

        def query(tx: Tx) -> list[Belonging]:
            user = people.get_user(tx, home, name)
            if user is None:
                return []
            places = [(home, user.role)]
            places += [(row.org, row.role) for row in members.list_memberships(tx, home, name)]
            return [Belonging(org, _organization_title(tx, org), role) for org, role in places]

        return await self._store.read(query)

    async def list_guests(self, org: str) -> list[Membership]:
        """The guests of an organization."""
        return await self._store.read(lambda tx: members.list_guests(tx, org))

    async def switch_organization(self, caller: Caller, org: str) -> tuple[str, Token]:
        """Open a session of the same kind in `org`; the caller's own ends.

        Raises `AuthorizationError` where the account is no member, lacks the second factor that the
        organization wants, or has not shown it in this session (`step_up`): at home it may not have
        been required.
        """
        made, (home, name) = self._opening.new_secrets(), caller.account

        def change(tx: Tx) -> tuple[Token, list[str]]:
            user = people.get_user(tx, home, name)
            held = people.list_tokens(tx, home, name)
            current = next((token for token in held if token.id == caller.token), None)
            if user is None or current is None:
                raise invalid_credential()
            if current.kind is TokenKind.API:
                raise AuthorizationError(
                    "permission_denied",
                    "an API token is for one organization: sign in to switch",
                )
            if any_requires_factor(tx, org):
                _require_factor(tx, current)
            people.delete_token(tx, home, current.id)
            origin = Origin(current.ip, current.user_agent)
            way = SessionRequest(current.kind, origin, acting=org, trusted=True)
            token, ended = self._opening.add_session(tx, user, way, made)
            # To switch is not to sign in: neither the end nor the proof is a new one.
            token = replace(
                token,
                expires_at=current.expires_at,
                proven_at=current.proven_at,
                factor_at=current.factor_at,
                sid=current.sid,
            )
            people.put_token(tx, token)
            return token, [*ended, current.id]

        token, ended = await self._store.write(change)
        self._session_ends.publish_ended(ended)
        return made.credential(token.kind), token

    async def change_guest_role(
        self, by: Caller, org: str, home: str, name: str, role: Role
    ) -> Membership:
        """Change a guest's role; the guest's sessions here end. Raises `NotFoundError`."""

        def change(tx: Tx) -> tuple[Membership, list[str], PublishChanges]:
            row = _require_membership(tx, org, home, name)
            check_rank(by, row.role)
            check_rank(by, role)
            changed = replace(row, role=role)
            members.put_membership(tx, changed, self._world.now())
            ended = end_sessions_in(tx, org, home, name)
            return changed, ended, self._session_ends.withdraw_authority(tx, home, name)

        changed, ended, publish = await self._store.write(change)
        self._session_ends.publish_ended(ended)
        publish()
        return changed

    async def remove_guest(self, by: Caller, org: str, home: str, name: str) -> None:
        """End a membership. Raises `NotFoundError`."""

        def change(tx: Tx) -> tuple[list[str], PublishChanges]:
            check_rank(by, _require_membership(tx, org, home, name).role)
            members.delete_membership(tx, org, home, name, self._world.now())
            return end_sessions_in(tx, org, home, name), self._session_ends.withdraw_authority(
                tx, home, name
            )

        ended, publish = await self._store.write(change)
        self._session_ends.publish_ended(ended)
        publish()


def _require_factor(tx: Tx, token: Token) -> None:
    if not second_factors.has_active_factor(tx, token.org, token.user):
        raise AuthorizationError(
            "second_factor_demanded", "this organization requires a second factor: set one up"
        )
    if not token.factor_at:
        raise step_up_error()


def end_sessions_in(tx: Tx, org: str, home: str, name: str) -> list[str]:
    """End an account's sessions and tokens that act in `org`; their ids."""
    gone = [token.id for token in people.list_tokens(tx, home, name) if token.acting == org]
    for token_id in gone:
        people.delete_token(tx, home, token_id)
    people.end_enrolment_tokens(tx, home, name, org)
    return gone


def _require_membership(tx: Tx, org: str, home: str, name: str) -> Membership:
    row = members.get_membership(tx, org, home, name)
    if row is None:
        raise NotFoundError("not_found", "there is no such member")
    return row


def _organization_title(tx: Tx, org: str) -> str:
    row = people.get_organization(tx, org)
    return "" if row is None else row.title
