"""Which account of ours somebody is whom an identity provider names."""

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from actors import World
from control.authn.endings import Endings, Publish
from control.authn.invitations import is_backed, spend
from control.errors import AuthorizationError, ValidationError
from control.model.factors import Identity, Invitation, Provider, Terms
from control.model.names import address
from control.model.people import Role, User
from control.store import identities, invitations, people
from control.store.rows import Tx
from control.store.store import Store

CHANGED: Final = "users.change_user"
"""As the trail names the change of an account by a person."""
MAX_NAME: Final = 48
MAX_TRIES: Final = 50
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")


Record: TypeAlias = Callable[[Tx, str, str, str, dict[str, Any]], Publish]
"""Of an operation, its organization, target and detail: see `control.services.authority`."""


class Admission:
    """Finds the account, or makes it for who was invited or is of an allowed domain.

    `record`: appends to the trail what a provider's word has changed of an account.
    """

    def __init__(self, store: Store, ends: Endings, record: Record, world: World) -> None:
        self._store = store
        self.ends = ends
        self._record = record
        self.world = world

    async def admit(self, provider: Provider, claims: dict[str, Any], invitation: str) -> User:
        """The account, its role as the claims say. Raises `AuthorizationError`."""
        now, subject = self.world.now(), str(claims["sub"])
        org, issuer, terms = provider.org, provider.issuer, provider.terms
        try:
            told = role_of(terms, claims)
        except AuthorizationError:
            await self._shut_out(org, issuer, subject)
            raise

        def change(tx: Tx) -> tuple[User, list[str], list[Publish]]:
            known = identities.identity(tx, issuer, subject, org)
            user = None if known is None else people.user(tx, org, known.name)
            if known is None or user is None:
                user = _newcomer(tx, provider, claims, _Offer(invitation, told, now))
                known = Identity(issuer, subject, org, user.name, now, now)
            elif user.disabled:
                raise _not_let_in()
            identities.put_identity(tx, replace(known, last_login=now))
            changed, ended = _with_role(tx, user, told, now) if told is not None else (user, [])
            return changed, ended, self._changed(tx, user, changed, ended)

        user, ended, publish = await self._store.write(change)
        self.ends.tell(ended)
        for each in publish:
            each()
        return user

    async def _shut_out(self, org: str, issuer: str, subject: str) -> None:
        """Whom the provider gives no role any more keeps none but the least, and no credential.

        The role follows the claim again once there is one. The last owner stays owner.
        """
        now = self.world.now()

        def change(tx: Tx) -> tuple[list[str], list[Publish]]:
            known = identities.identity(tx, issuer, subject, org)
            user = None if known is None else people.user(tx, org, known.name)
            if user is None:
                return [], []
            ended = people.drop_tokens_of(tx, org, user.name)
            changed, _ = _with_role(tx, user, Role.VIEWER, now)
            return ended, self._changed(tx, user, changed, ended)

        ended, publish = await self._store.write(change)
        self.ends.tell(ended)
        for each in publish:
            each()

    def _changed(self, tx: Tx, before: User, after: User, ended: list[str]) -> list[Publish]:
        """Record the change, if there is one, and withdraw what the account may not do any more."""
        publish = []
        if before.role is not after.role or ended:
            detail = {
                "by": "identity provider",
                "role_before": before.role,
                "role": after.role,
                "credentials_ended": len(ended),
            }
            publish.append(self._record(tx, CHANGED, after.org, after.name, detail))
        return [*publish, self.ends.withdraw(tx, after.org, after.name)]


def role_of(terms: Terms, claims: dict[str, Any]) -> Role | None:
    """The highest role that the claim gives; None: the claims are not asked.

    Raises `AuthorizationError` where they are, and give none.
    """
    if not terms.role_claim:
        return None
    told = claims.get(terms.role_claim)
    values = told if isinstance(told, list) else [told]
    roles = [terms.roles[each] for each in values if isinstance(each, str) and each in terms.roles]
    if not roles:
        raise _not_let_in()
    return max(roles, key=lambda role: role.rank)


def verified_email(claims: dict[str, Any]) -> str:
    """The address that the provider vouches for. Raises `AuthorizationError`."""
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        raise _not_let_in()
    try:
        return address(email)
    except ValidationError:
        raise _not_let_in() from None


class _Offer(Struct, frozen=True):
    """The digest of the link one came by, the role that the claims gave, and the time."""

    link: str
    role: Role | None
    now: int


def _newcomer(tx: Tx, provider: Provider, claims: dict[str, Any], offer: _Offer) -> User:
    org, email, now = provider.org, verified_email(claims), offer.now
    row = _invited(tx, org, email, offer.link, now)
    if row is None and email.rpartition("@")[2] not in provider.terms.domains:
        raise _not_let_in()
    made = User(
        org,
        _free_name(tx, org, email),
        offer.role or (provider.terms.role if row is None else row.role),
        "",
        disabled=False,
        created_at=now,
        changed_at=now,
        last_login=0,
        email=email,
    )
    people.add_user(tx, made)
    if row is not None:
        spend(tx, row, made, now)
    return made


def _invited(tx: Tx, org: str, email: str, digest: str, now: int) -> Invitation | None:
    """For this address; the link, if one came by it, has to be for it too."""
    row = invitations.open_for(tx, org, email, now)
    row = row if row is None or is_backed(tx, row) else None
    if digest and (row is None or row.digest.hex() != digest):  # not secret: kept
        raise _not_let_in()
    return row


def _free_name(tx: Tx, org: str, email: str) -> str:
    plain = _NOT_IN_NAMES.sub("-", email.partition("@")[0]).strip("-")[:MAX_NAME].strip("-")
    for number in range(1, MAX_TRIES):
        name = f"{plain or 'user'}-{number}" if number > 1 else plain or "user"
        if people.user(tx, org, name) is None:
            return name
    raise _not_let_in()


def _with_role(tx: Tx, user: User, role: Role, now: int) -> tuple[User, list[str]]:
    """As the provider says, unless the last owner would go."""
    last = user.role is Role.OWNER and people.count_owners(tx, user.org) <= 1
    if role is user.role or last:
        return user, []
    changed = replace(user, role=role, changed_at=max(now, user.changed_at + 1))
    people.put_user(tx, changed)
    return changed, people.drop_tokens_of(tx, user.org, user.name)


def _not_let_in() -> AuthorizationError:
    return AuthorizationError(
        "oidc_no_account",
        "the identity provider knows you, but you have no account here: ask for an invitation",
    )
