"""What a caller may be shown: as his own request for it would be decided."""

import pytest

from tests.unit.vault.handlers.conftest import HERE, NOW, ROOT, House
from vault.authz.authorizer import Authorizer
from vault.handlers.handler import Call
from vault.handlers.visibility import Visibility, secret_facts
from vault.model.identity import Identity
from vault.model.operation import Operation, OperationType
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing
from vault.model.records import SecretRow

ROW = SecretRow(
    name="s/a", id="i", created_at=1, updated_at=1, created_by="x", tags=["t"], metadata={"k": "v"}
)


def sight(house: House, by: Identity) -> Visibility:
    """Of this caller."""
    op = Operation(
        type=OperationType("x"), path=ResourcePath.parse("s"), payload=Nothing(), request_id="r",
        credential=None, origin=HERE,
    )  # fmt: skip
    return Visibility(Authorizer(house.book), Call(op, by), NOW)


@pytest.mark.parametrize(
    ("capability", "lists", "describes"),
    [("list", True, False), ("read_metadata", False, True), ("read", False, True)],
)
async def test_a_name_is_less_than_what_is_said_of_it(
    house: House, capability: str, *, lists: bool, describes: bool
) -> None:
    """To list is not to read."""
    of = sight(house, await house.allow("p", "s/*", capabilities=(capability,)))
    assert (of.can_list(ROW), of.can_read_metadata(ROW)) == (lists, describes)
    other = sight(house, await house.allow("q", "t/*", capabilities=(capability,)))
    assert (other.can_list(ROW), other.can_read_metadata(ROW)) == (False, False)


async def test_identities(house: House) -> None:
    """Users and accessors apart; root sees both."""
    root = sight(house, ROOT)
    assert (root.can_list_users(), root.can_list_accessors()) == (True, True)
    of = sight(house, await house.allow("p", "sys/users/*", capabilities=("list",)))
    assert (of.can_list_users(), of.can_list_accessors()) == (True, False)


def test_facts_are_the_secrets() -> None:
    """What conditions on tags and metadata are decided by."""
    facts = secret_facts(ROW)
    assert (facts.exists, facts.tags, facts.metadata) == (True, frozenset({"t"}), {"k": "v"})
