"""Find or make the account of a person whom an identity provider has authenticated."""

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from actors import World
from control.authn.invitations import is_inviter_authorized, mark_used
from control.authn.session_ends import PublishChanges, SessionEnds
from control.errors import AuthorizationError, ValidationError
from control.model.identity import IdentityProvider, Invitation, LinkedIdentity, Terms
from control.model.names import normalize_address
from control.model.people import Role, User
from control.store import identities, invitations, people
from control.store.rows import Tx
from control.store.store import Store

CHANGED: Final = "users.change_user"
"""As the audit log names the change of an account by a person."""
MAX_NAME: Final = 48
MAX_NAME_ATTEMPTS: Final = 50
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")


Record: TypeAlias = Callable[[Tx, str, str, str, dict[str, Any]], PublishChanges]
"""An operation's organization, target and detail: see `control.services.delegated_authority`."""


class AccountProvisioner:
    """Finds the account, or makes one for people who were invited or are of an allowed domain.

    `record`: appends to the audit log what a provider's claims have changed of an account.
    """

    def __init__(
        self, store: Store, session_ends: SessionEnds, record: Record, world: World
    ) -> None:
        self._store = store
        self.session_ends = session_ends
        self._record = record
        self.world = world

    async def provision(
        self, provider: IdentityProvider, claims: dict[str, Any], invitation: str
    ) -> User:
        """The account, with the role that the claims give. Raises `AuthorizationError`."""
        now, subject = self.world.now(), str(claims["sub"])
        org, issuer, terms = provider.org, provider.issuer, provider.terms
        try:
            told = claimed_role(terms, claims)
        except AuthorizationError:
            await self._shut_out(org, issuer, subject)
            raise

        def change(tx: Tx) -> tuple[User, list[str], list[PublishChanges]]:
            known = identities.get_identity(tx, issuer, subject, org)
            user = None if known is None else people.get_user(tx, org, known.name)
            if known is None or user is None:
                user = _create_account(
                    tx, provider, claims, _ProvisioningInput(invitation, told, now)
                )
                known = LinkedIdentity(issuer, subject, org, user.name, now, now)
            elif user.disabled:
                raise _not_allowed()
            identities.put_identity(tx, replace(known, last_login=now))
            changed, ended = _apply_role(tx, user, told, now) if told is not None else (user, [])
            return changed, ended, self._changed(tx, user, changed, ended)

        user, ended, publish = await self._store.write(change)
        self.session_ends.publish_ended(ended)
        for each in publish:
            each()
        return user

    async def _shut_out(self, org: str, issuer: str, subject: str) -> None:
        """Reduce an account without a role claim to viewer, and end its credentials.

        The role follows the claim again once there is one. The last owner stays owner.
        """
        now = self.world.now()

        def change(tx: Tx) -> tuple[list[str], list[PublishChanges]]:
            known = identities.get_identity(tx, issuer, subject, org)
            user = None if known is None else people.get_user(tx, org, known.name)
            if user is None:
                return [], []
            ended = people.delete_tokens(tx, org, user.name)
            changed, _ = _apply_role(tx, user, Role.VIEWER, now)
            return ended, self._changed(tx, user, changed, ended)

        ended, publish = await self._store.write(change)
        self.session_ends.publish_ended(ended)
        for each in publish:
            each()

    def _changed(self, tx: Tx, before: User, after: User, ended: list[str]) -> list[PublishChanges]:
        """Record the change, if there is one, and withdraw authority that the account has lost."""
        publish = []
        if before.role is not after.role or ended:
            detail = {
                "by": "identity provider",
                "role_before": before.role,
                "role": after.role,
                "credentials_ended": len(ended),
            }
            publish.append(self._record(tx, CHANGED, after.org, after.name, detail))
        return [*publish, self.session_ends.withdraw_authority(tx, after.org, after.name)]


def claimed_role(terms: Terms, claims: dict[str, Any]) -> Role | None:
    """The highest role that the claim gives; None where the organization uses no claim.

    Raises `AuthorizationError` where it uses one that gives no role.
    """
    if not terms.role_claim:
        return None
    told = claims.get(terms.role_claim)
    values = told if isinstance(told, list) else [told]
    roles = [terms.roles[each] for each in values if isinstance(each, str) and each in terms.roles]
    if not roles:
        raise _not_allowed()
    return max(roles, key=lambda role: role.rank)


def require_verified_email(claims: dict[str, Any]) -> str:
    """The address that the provider has verified. Raises `AuthorizationError`."""
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        raise _not_allowed()
    try:
        return normalize_address(email)
    except ValidationError:
        raise _not_allowed() from None


class _ProvisioningInput(Struct, frozen=True):
    """Digest of the invitation's link, the claimed role, and the time."""

    link: str
    role: Role | None
    now: int


def _create_account(
    tx: Tx, provider: IdentityProvider, claims: dict[str, Any], offer: _ProvisioningInput
) -> User:
    org, email, now = provider.org, require_verified_email(claims), offer.now
    row = _find_invitation(tx, org, email, offer.link, now)
    if row is None and email.rpartition("@")[2] not in provider.terms.domains:
        raise _not_allowed()
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
        mark_used(tx, row, made, now)
    return made


def _find_invitation(tx: Tx, org: str, email: str, digest: str, now: int) -> Invitation | None:
    """The open invitation for this address; a link has to be for the address, too."""
    row = invitations.find_open_invitation(tx, org, email, now)
    row = row if row is None or is_inviter_authorized(tx, row) else None
    if digest and (row is None or row.digest.hex() != digest):  # not secret: kept
        raise _not_allowed()
    return row


def _free_name(tx: Tx, org: str, email: str) -> str:
    plain = _NOT_IN_NAMES.sub("-", email.partition("@")[0]).strip("-")[:MAX_NAME].strip("-")
    for number in range(1, MAX_NAME_ATTEMPTS):
        name = f"{plain or 'user'}-{number}" if number > 1 else plain or "user"
        if people.get_user(tx, org, name) is None:
            return name
    raise _not_allowed()


def _apply_role(tx: Tx, user: User, role: Role, now: int) -> tuple[User, list[str]]:
    """Set the role that the provider says, unless no owner would be left."""
    last = user.role is Role.OWNER and people.count_owners(tx, user.org) <= 1
    if role is user.role or last:
        return user, []
    changed = replace(user, role=role, changed_at=max(now, user.changed_at + 1))
    people.put_user(tx, changed)
    return changed, people.delete_tokens(tx, user.org, user.name)


def _not_allowed() -> AuthorizationError:
    return AuthorizationError(
        "oidc_no_account",
        "the identity provider knows you, but you have no account here: ask for an invitation",
    )
