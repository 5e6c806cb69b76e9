"""Grants beside policies that limit how a request may be made."""

from typing import Any

import pytest
from msgspec.structs import replace

from protocols.instant import MINUTE
from tests.unit.vault.handlers.conftest import HERE, NOW, ROOT, House
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.authz.tickets import DenialTickets
from vault.errors import ConflictError
from vault.handlers.access_grants import AccessGrantHandlers, AccessGrants
from vault.handlers.handler import Call
from vault.handlers.stores import GrantStore, SecretStore
from vault.model.acl.access import AclCapability, ApiAccess
from vault.model.identity import Identity, Method
from vault.model.operation import NO_FACTS, Capability, Operation, OperationType
from vault.model.path import ResourcePath
from vault.model.payloads import GrantAccess, WritePolicy

JOB = Identity(id="job", name="job", method=Method.TOKEN, policies=("limits",), credential="acc-j")


async def stands(_credential: str) -> bool:
    """Every credential does."""
    return True


class GrantHarness:
    """Grants over a vault; `ask` is a request of the Vault-compatible API."""

    def __init__(self, house: House) -> None:
        store, authorizer = GrantStore(house.barrier, house.store), Authorizer(house.book)
        self.authorizer = authorizer
        self.grants = AccessGrants(store, authorizer, stands, house.world)
        self.tickets = DenialTickets(house.barrier.seal_ticket, house.barrier.open_ticket)
        self.handlers = AccessGrantHandlers(
            self.grants, store, self.tickets, authorizer, SecretStore(house.barrier), house.mounts,
            stands, house.world,
        )  # fmt: skip

    def ask(self, wrapping: int = 0, **fields: Any) -> AccessRequest:
        """Read a secret."""
        return AccessRequest(
            capability=Capability.READ,
            path=ResourcePath.parse("secret/app"),
            identity=JOB,
            origin=HERE,
            now=NOW,
            api=ApiAccess(
                path="secret/data/app",
                operation=AclCapability.READ,
                parameters=lambda: fields,
                wrapping_ttl=wrapping,
            ),
        )

    async def grant(self, access: AccessRequest) -> None:
        """Lift its refusal for a time."""
        payload = GrantAccess(ticket=self.tickets.issue(access, "r"), duration=10 * MINUTE)
        op = Operation(
            type=OperationType("policy.grant"), path=ResourcePath.parse("sys/access-grants"),
            payload=payload, request_id="r", credential=None, origin=HERE,
        )  # fmt: skip
        await self.handlers.grant(Call(op, ROOT, NO_FACTS))

    async def is_allowed(self, access: AccessRequest) -> bool:
        """By a grant, since no policy does."""
        refused = self.authorizer.decide(access)
        assert not refused.allowed
        return (await self.grants.decide(access, refused)).allowed


async def limited(house: House, stanza: str) -> GrantHarness:
    """A job whose one policy says this of all secrets."""
    acl = f'path "secret/*" {{ {stanza} }}'
    await house.do("policy.write", "sys/policies/limits", WritePolicy(document={"acl": acl}))
    return GrantHarness(house)


@pytest.mark.parametrize("verb", ["list", "update"])
async def test_a_grant_lifts_no_limit_on_wrapping(house: House, verb: str) -> None:
    """Of a rule that covers the path, and allows something else; nor is it granted in vain."""
    harness = await limited(house, f'capabilities = ["{verb}"] min_wrapping_ttl = "5m"')
    for wrapping in (0, MINUTE):
        with pytest.raises(ConflictError) as refused:
            await harness.grant(harness.ask(wrapping))
        assert refused.value.code == "denied_by_rule"
    await harness.grant(harness.ask(5 * MINUTE))
    assert await harness.is_allowed(harness.ask(5 * MINUTE))
    assert not await harness.is_allowed(harness.ask(MINUTE))
    assert not await harness.is_allowed(harness.ask())


async def test_a_grant_lifts_no_limit_on_parameters(house: House) -> None:
    """They are asked at each use: a ticket does not tell them."""
    harness = await limited(house, 'capabilities = ["list"] denied_parameters = { version = [] }')
    await harness.grant(harness.ask(version=1))
    assert await harness.is_allowed(harness.ask())
    assert not await harness.is_allowed(harness.ask(version=1))
    native = replace(harness.ask(), api=None)
    assert not await harness.is_allowed(native), "its fields have other names"
    with pytest.raises(ConflictError):
        await harness.grant(native)


async def test_a_grant_where_no_limit_is_set(house: House) -> None:
    """In either dialect."""
    harness = await limited(house, 'capabilities = ["list"]')
    await harness.grant(harness.ask())
    assert await harness.is_allowed(harness.ask(version=1))
    assert await harness.is_allowed(replace(harness.ask(), api=None))
