"""An identity with a ceiling: nothing is allowed without it, and it allows nothing by itself."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.vault.authz.conftest import caller
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.authz.policy_store import PolicyStore
from vault.model.identity import Identity, Method
from vault.model.operation import NO_FACTS, Origin
from vault.model.path import ResourcePath

CAPABILITIES = ("read", "update", "list", "delete", "sudo")
PATHS = ("secret/app/a", "secret/app/deep/b", "secret/other", "auth/token/lookup-self")


def native(name: str, *rules: tuple[str, str, tuple[str, ...]]) -> dict[str, Any]:
    """A policy."""
    return {
        "name": name,
        "rules": [
            {"effect": effect, "paths": [path], "capabilities": list(capabilities)}
            for effect, path, capabilities in rules
        ],
    }


@pytest.fixture
async def authorizer(store: Any, world: Any) -> Authorizer:
    """With policies in both languages."""
    book = PolicyStore(store, world)
    root = caller("root")
    await book.put(native("wide", ("allow", "secret/*", ("*",))), by=root)
    await book.put(native("narrow", ("allow", "secret/app/*", ("read", "list"))), by=root)
    denying = ("allow", "secret/*", ("*",)), ("deny", "secret/app/deep/*", ("*",))
    await book.put(native("denying", *denying), by=root)
    return Authorizer(book)


@pytest.mark.parametrize("policies", [("wide",), ("narrow",), ("denying",), ("root",), ()])
@pytest.mark.parametrize("ceiling", [("wide",), ("narrow",), ("denying",), ("absent",)])
async def test_what_both_allow_is_allowed(
    authorizer: Authorizer,
    make_access: Callable[..., AccessRequest],
    policies: tuple[str, ...],
    ceiling: tuple[str, ...],
) -> None:
    """Each decision, its dry run, and each list: as the policies and as the ceiling alone."""
    own = Identity(id="u", name="u", method=Method.JWT, policies=policies)
    bound = replace(own, ceiling=ceiling)
    over = replace(own, policies=ceiling)
    for capability in CAPABILITIES:
        for path in PATHS:
            both = all(
                authorizer.decide(make_access(capability, path, identity=each)).allowed
                for each in (own, over)
            )
            access = make_access(capability, path, identity=bound)
            assert authorizer.decide(access).allowed is both, (capability, path)
            dry = authorizer.dry_run()(access)
            assert dry.allowed is both
            assert dry.missing or both
            if both and policies != ("root",):  # root is asked for by its name there
                assert authorizer.could_allow(access)
    lists = [authorizer.list_filter(each, Origin(ip="10.0.0.1"), 0) for each in (own, over, bound)]
    for path in PATHS:
        alone = [shown(ResourcePath.parse(path), NO_FACTS) for shown in lists]
        assert alone[2] is (alone[0] and alone[1])
        folder = path[: path.rfind("/") + 1]
        assert authorizer.can_reach(bound, folder) is (
            authorizer.can_reach(own, folder) and authorizer.can_reach(over, folder)
        )


async def test_root_is_bound_by_it(
    authorizer: Authorizer, make_access: Callable[..., AccessRequest]
) -> None:
    """Whoever has root at an issuer has here what the ceiling allows; its denials bind."""
    root = Identity(id="u", name="u", method=Method.JWT, policies=("root",), ceiling=("denying",))
    assert authorizer.decide(make_access("sudo", "secret/app/a", identity=root)).allowed
    assert not authorizer.decide(make_access("read", "secret/app/deep/b", identity=root)).allowed
    assert not authorizer.decide(make_access("read", "sys/policies", identity=root)).allowed
    assert root.binding_policies == {"denying"}
