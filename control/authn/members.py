"""People who belong to more than one organization: a role in each, one account at home."""

from msgspec import Struct
from msgspec.structs import replace

from actors import World
from control.authn.endings import Endings
from control.authn.opening import Opening, Way, demanded
from control.authn.sessions import refused, step_up
from control.authn.users import check_rank
from control.errors import AuthorizationError, NotFoundError
from control.model.people import Caller, Membership, Origin, Role, Token, TokenKind
from control.store import factors, members, people
from control.store.rows import Tx
from control.store.store import Store


class Belonging(Struct, frozen=True):
    """An organization that an account can act in, and as what."""

    id: str
    title: str
    role: Role


class Members:
    """Guests of organizations."""

    def __init__(self, store: Store, opening: Opening, ends: Endings, world: World) -> None:
        self._store = store
        self._opening = opening
        self._ends = ends
        self._world = world

    async def of(self, caller: Caller) -> list[Belonging]:
        """Where the caller's account belongs, its home first."""
        home, name = caller.account

        def query(tx: Tx) -> list[Belonging]:
            user = people.user(tx, home, name)
            if user is None:
                return []
            places = [(home, user.role)]
            places += [(row.org, row.role) for row in members.memberships_of(tx, home, name)]
            return [Belonging(org, _title(tx, org), role) for org, role in places]

        return await self._store.read(query)

    async def page(self, org: str) -> list[Membership]:
        """The guests of an organization."""
        return await self._store.read(lambda tx: members.members_of(tx, org))

    async def switch(self, caller: Caller, org: str) -> tuple[str, Token]:
        """A session of the same kind that acts in `org`; the caller's own ends.

        Raises `AuthorizationError` where the account is no member, lacks the second factor that the
        organization wants, or has not shown it in this session (`step_up`): at home that may not
        have been asked for.
        """
        made, (home, name) = self._opening.mint(), caller.account

        def change(tx: Tx) -> tuple[Token, list[str]]:
            user = people.user(tx, home, name)
            held = people.tokens_of(tx, home, name)
            current = next((token for token in held if token.id == caller.token), None)
            if user is None or current is None:
                raise refused()
            if current.kind is TokenKind.API:
                raise AuthorizationError(
                    "permission_denied",
                    "an API token is for one organization: sign in to change over",
                )
            if demanded(tx, org):
                _check_factor(tx, current)
            people.drop_token(tx, home, current.id)
            origin = Origin(current.ip, current.user_agent)
            way = Way(current.kind, origin, acting=org, trusted=True)
            token, ended = self._opening.add(tx, user, way, made)
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
        self._ends.tell(ended)
        return made.credential(token.kind), token

    async def put(self, by: Caller, org: str, home: str, name: str, role: Role) -> Membership:
        """Another role for a guest, whose sessions here end. Raises `NotFoundError`."""

        def change(tx: Tx) -> tuple[Membership, list[str]]:
            row = _found(tx, org, home, name)
            check_rank(by, row.role)
            check_rank(by, role)
            changed = replace(row, role=role)
            members.put_membership(tx, changed, self._world.now())
            return changed, end_acting(tx, org, home, name)

        changed, ended = await self._store.write(change)
        self._ends.tell(ended)
        return changed

    async def remove(self, by: Caller, org: str, home: str, name: str) -> None:
        """A guest is one no longer. Raises `NotFoundError`."""

        def change(tx: Tx) -> list[str]:
            check_rank(by, _found(tx, org, home, name).role)
            members.drop_membership(tx, org, home, name, self._world.now())
            return end_acting(tx, org, home, name)

        self._ends.tell(await self._store.write(change))


def _check_factor(tx: Tx, token: Token) -> None:
    if not factors.is_active(tx, token.org, token.user):
        raise AuthorizationError(
            "second_factor_demanded", "this organization wants a second factor: set one up"
        )
    if not token.factor_at:
        raise step_up()


def end_acting(tx: Tx, org: str, home: str, name: str) -> list[str]:
    """End what an account holds for acting in `org`; the ids."""
    gone = [token.id for token in people.tokens_of(tx, home, name) if token.acting == org]
    for token_id in gone:
        people.drop_token(tx, home, token_id)
    people.end_enrolments_of(tx, home, name, org)
    return gone


def _found(tx: Tx, org: str, home: str, name: str) -> Membership:
    row = members.membership(tx, org, home, name)
    if row is None:
        raise NotFoundError("not_found", "there is no such member")
    return row


def _title(tx: Tx, org: str) -> str:
    row = people.organization(tx, org)
    return "" if row is None else row.title
