"""Which account somebody is whom a provider names."""

from typing import Any

import pytest
from msgspec.structs import replace

from control.authn.provisioning import AccountProvisioner, claimed_role, require_verified_email
from control.authn.session_opener import PROGRAM_SESSION
from control.core import Core
from control.errors import AuthorizationError, NotFoundError
from control.model.identity import IdentityProvider, Terms
from control.model.people import Caller, Role, User
from control.store import identities, people

TERMS = Terms(
    domains=("corp.example",), role_claim="groups", roles={"a": Role.ADMIN, "v": Role.VIEWER}
)
ACME = IdentityProvider("acme", "https://idp.example", "freehold", b"", TERMS, 1)


def claims(subject: str, email: object = "joe@corp.example", **more: object) -> dict[str, Any]:
    """What a checked token says."""
    return {"sub": subject, "email": email, "email_verified": True, "groups": ["v"], **more}


@pytest.fixture
def admission(core: Core) -> AccountProvisioner:
    """Of the plane's store."""
    return core.federation.federation._provisioner


def test_the_highest_role_of_the_claim() -> None:
    """A word or a list; nothing of ours in it lets nobody in; not asked is no answer."""
    assert claimed_role(Terms(), {"groups": ["a"]}) is None
    assert claimed_role(TERMS, {"groups": ["v", "a", "x", 7]}) is Role.ADMIN
    assert claimed_role(TERMS, {"groups": "v"}) is Role.VIEWER
    for nothing in ({}, {"groups": []}, {"groups": {"a": 1}}, {"groups": "A"}, {"groups": 7}):
        with pytest.raises(AuthorizationError, match="oidc_no_account"):
            claimed_role(TERMS, nothing)


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_address_has_to_be_verified(verified: object) -> None:
    """By the word `true` alone."""
    assert require_verified_email(claims("s")) == "joe@corp.example"
    with pytest.raises(AuthorizationError):
        require_verified_email(claims("s", email_verified=verified))
    for address in (None, 7, "", "joe", "joe@corp.example\nX: y"):
        with pytest.raises(AuthorizationError):
            require_verified_email(claims("s", address))


async def test_names_do_not_meet(core: Core, admission: AccountProvisioner) -> None:
    """A newcomer never becomes an account that is there, whatever the address begins with."""
    ann = await admission.provision(ACME, claims("s-1", "Ann@corp.example"), "")
    assert (ann.name, ann.password) == ("ann-2", "")
    odd = await admission.provision(ACME, claims("s-2", "-._-@corp.example"), "")
    assert odd.name == "user"
    again = await admission.provision(ACME, claims("s-1", "renamed@corp.example"), "")
    assert again.name == "ann-2"
    with pytest.raises(AuthorizationError):
        await admission.provision(ACME, claims("s-3", "x@corp.example.evil.example"), "")
    other = replace(ACME, issuer="https://other.example")
    assert (await admission.provision(other, claims("s-1"), "")).name == "joe"


async def test_a_role_that_changes_ends_sessions(core: Core, admission: AccountProvisioner) -> None:
    """As a change by a person does."""
    joe = await admission.provision(ACME, claims("s-1", groups=["a"]), "")
    assert joe.role is Role.ADMIN
    secret, _ = await core.federation.federation._session_opener.open_session(joe, PROGRAM_SESSION)
    await core.people.sessions.authenticate(secret)
    assert (await admission.provision(ACME, claims("s-1"), "")).role is Role.VIEWER
    held = await core.store.read(lambda tx: people.list_tokens(tx, "acme", joe.name))
    assert held == []


async def test_the_last_owner_stays_one(core: Core, admission: AccountProvisioner) -> None:
    """Else a mapping that was typed wrong would leave an organization to nobody."""

    def only_owner(tx: Any) -> None:
        ann = people.get_user(tx, "acme", "ann")
        assert isinstance(ann, User)
        people.put_user(tx, replace(ann, disabled=True))

    owners = replace(ACME, terms=replace(TERMS, roles={"o": Role.OWNER, "v": Role.VIEWER}))
    await admission.provision(owners, claims("s-1", groups=["o"]), "")
    await core.store.write(only_owner)
    assert (await admission.provision(owners, claims("s-1"), "")).role is Role.OWNER


async def test_a_link_is_for_whom_it_names(core: Core, admission: AccountProvisioner) -> None:
    """Another's link lets nobody in, not even who would come in without one; it stays good."""
    ann = Caller("acme", "ann", Role.OWNER, "t")
    secret, made = await core.invitations.invitations.create_invitation(
        ann, "acme", "new@x.example", Role.ADMIN
    )
    open_terms = replace(ACME, terms=replace(TERMS, role_claim=""))
    with pytest.raises(AuthorizationError):
        await admission.provision(open_terms, claims("s-1"), made.digest.hex())
    new = await admission.provision(open_terms, claims("s-2", "new@x.example"), made.digest.hex())
    assert new.role is Role.ADMIN
    with pytest.raises(NotFoundError):
        await core.invitations.invitations.get_details(secret)


async def test_a_disabled_account_is_not_let_in(core: Core, admission: AccountProvisioner) -> None:
    """Nor given a role meanwhile."""
    joe = await admission.provision(ACME, claims("s-1"), "")
    await core.store.write(lambda tx: people.put_user(tx, replace(joe, disabled=True)))
    with pytest.raises(AuthorizationError):
        await admission.provision(ACME, claims("s-1", groups=["a"]), "")
    stored = await core.store.read(lambda tx: people.get_user(tx, "acme", joe.name))
    assert stored is not None
    assert stored.role is Role.VIEWER


async def test_an_account_that_went_does_not_come_back(
    core: Core, admission: AccountProvisioner
) -> None:
    """Its link to the provider went with it."""
    joe = await admission.provision(ACME, claims("s-1"), "")
    await core.store.write(lambda tx: people.delete_user(tx, "acme", joe.name, 9))
    key = (ACME.issuer, "s-1", "acme")
    assert await core.store.read(lambda tx: identities.get_identity(tx, *key)) is None
