"""The authorizer: decisions follow the book at once."""

from collections.abc import Callable
from typing import Any

from tests.unit.vault.authz.conftest import caller
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.authz.policy_store import PolicyStore
from vault.model.identity import Identity, Method
from vault.model.operation import NO_FACTS, Origin, SecretFacts
from vault.model.path import ResourcePath

ANN = Identity(id="u", name="ann", method=Method.TOKEN, policies=("app", "default"))


def _document(*capabilities: str, **more: Any) -> dict[str, Any]:
    rule = {"effect": "allow", "paths": ["secret/app/*"], "capabilities": capabilities, **more}
    return {"name": "app", "rules": [rule]}


async def test_follows_the_book(
    store: Any, world: Any, make_access: Callable[..., AccessRequest]
) -> None:
    """The next decision after a write or delete is made under it; a kept list filter is not."""
    book = PolicyStore(store, world)
    authorizer = Authorizer(book)
    access = make_access(identity=ANN)
    assert not authorizer.decide(access).allowed
    await book.put(_document("read", "list"), by=caller("root"))
    assert authorizer.decide(access).rule == "app/rules[0]"
    shown = authorizer.list_filter(ANN, Origin(ip="10.0.0.1"), 0)
    await book.delete("app", by=caller("ann"))
    assert not authorizer.decide(access).allowed
    assert authorizer.dry_run()(access).missing == ("no rule allows read here",)
    assert shown(ResourcePath.parse("secret/app/db"), NO_FACTS)


async def test_list_filter(store: Any, world: Any) -> None:
    """A list shows the names that the caller may list, conditions on each secret included."""
    book = PolicyStore(store, world)
    authorizer = Authorizer(book)
    tagged = [{"type": "tags", "any": ["open"]}]
    await book.put(_document("list", conditions=tagged), by=caller("root"))
    shown = authorizer.list_filter(ANN, Origin(ip="10.0.0.1"), 0)
    opened = SecretFacts(exists=True, tags=frozenset({"open"}))
    assert shown(ResourcePath.parse("secret/app/db"), opened)
    assert not shown(ResourcePath.parse("secret/app/db"), NO_FACTS)
    assert not shown(ResourcePath.parse("secret/other"), opened)
    assert authorizer.needs_facts(ANN)


async def test_default_policy(
    store: Any, world: Any, make_access: Callable[..., AccessRequest]
) -> None:
    """Every token may look itself up, renew and revoke itself; that needs no facts."""
    authorizer = Authorizer(PolicyStore(store, world))
    own = Identity(id="u", name="u", method=Method.TOKEN, policies=("default",))
    allowed = [
        (capability, path)
        for capability in ("read", "update", "list", "sudo")
        for path in ("auth/token/lookup-self", "auth/token/renew-self", "auth/token/revoke-self",
                     "auth/token/lookup", "auth/token/create", "secret/x")
        if authorizer.decide(make_access(capability, path, identity=own)).allowed
    ]  # fmt: skip
    assert allowed == [
        ("read", "auth/token/lookup-self"),
        ("update", "auth/token/lookup-self"),
        ("update", "auth/token/renew-self"),
        ("update", "auth/token/revoke-self"),
    ]
    assert not authorizer.needs_facts(own)


async def test_what_is_known_follows_the_book(
    store: Any, world: Any, make_access: Callable[..., AccessRequest]
) -> None:
    """A decision that was made before is made anew when any policy changed, for each capability."""
    book = PolicyStore(store, world)
    authorizer = Authorizer(book)
    read, update = make_access(identity=ANN), make_access("update", identity=ANN)
    await book.put(_document("read"), by=caller("root"))
    for _ in range(2):
        assert authorizer.decide(read).allowed
        assert not authorizer.decide(update).allowed
    await book.put(_document("update"), by=caller("root"))
    for _ in range(2):
        assert not authorizer.decide(read).allowed
        assert authorizer.decide(update).allowed


async def test_conditions_are_asked_each_time(
    store: Any, world: Any, make_access: Callable[..., AccessRequest]
) -> None:
    """Where a condition has a say, nothing is taken as known: address and facts count each time."""
    book = PolicyStore(store, world)
    authorizer = Authorizer(book)
    inside = [{"type": "source_network", "networks": ["10.0.0.0/8"]}]
    await book.put(_document("read", conditions=inside), by=caller("root"))
    for ip, allowed in [("10.1.2.3", True), ("192.0.2.1", False), ("10.1.2.3", True)]:
        assert authorizer.decide(make_access(identity=ANN, ip=ip)).allowed is allowed
