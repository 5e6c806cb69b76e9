"""Known decisions: as many as the bound says, and each of who asked."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.vault.authz.conftest import caller
from tests.unit.vault.authz.samples import names, permissions_, rules_
from vault.authz import policy_store as book_module
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.authz.compile import compile_permissions, compile_policies
from vault.authz.evaluate import CompiledPolicies, evaluate
from vault.authz.policy import validate_policy
from vault.authz.policy_store import PolicyStore
from vault.model.identity import Identity, Method, Permission
from vault.model.memo import BoundedMemo
from vault.model.operation import Capability, Origin, SecretFacts
from vault.model.path import ResourcePath

ANN = Identity(id="u", name="ann", method=Method.TOKEN, policies=("app", "default"))
RULE = {"effect": "allow", "paths": ["secret/app/*"], "capabilities": ["read"]}

_capabilities = st.sampled_from([Capability.READ, Capability.LIST, Capability.UPDATE])
_asked = st.lists(
    st.tuples(names | st.just("a"), st.booleans(), _capabilities, st.sampled_from(["", "open"])),
    max_size=40,
)


async def test_what_is_known_is_bounded(
    store: Any,
    world: Any,
    make_access: Callable[..., AccessRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many decisions are kept as the bound says, of all callers together.

    Forgetting them changes none, and no caller gets another's.
    """
    monkeypatch.setattr(book_module, "MAX_REMEMBERED", 2)
    book = PolicyStore(store, world)
    authorizer = Authorizer(book)
    await book.put({"name": "app", "rules": [RULE]}, by=caller("root"))
    nobody = replace(ANN, policies=("default",))
    for number in range(5):
        for identity in (ANN, nobody):
            access = make_access(path=f"secret/app/{number // 2}/x", identity=identity)
            assert authorizer.decide(access).allowed is (identity is ANN)
            assert 1 <= len(book.snapshot.compiled_for(identity).decisions) <= 2


@settings(max_examples=500)
@given(st.lists(rules_, max_size=4), st.lists(permissions_, max_size=2), st.booleans(), _asked)
def test_what_is_known_is_what_would_be_decided(
    rules: list[dict[str, Any]],
    permissions: list[Permission],
    root: bool,
    asked: list[tuple[str, bool, Capability, str]],
) -> None:
    """In whatever order it is asked for, of things and of folders, for every capability."""
    policies = [validate_policy({"name": "p", "rules": rules})] if rules else []
    compiled, grants = compile_policies(policies, root=root), compile_permissions(permissions)
    known = CompiledPolicies(compiled, grants, 1, BoundedMemo(1_000))
    for name, is_folder, capability, tag in asked:
        access = AccessRequest(
            capability=capability,
            path=ResourcePath.parse_folder(name) if is_folder else ResourcePath.parse(name),
            identity=ANN,
            origin=Origin(ip="10.0.0.1"),
            facts=SecretFacts(exists=True, tags=frozenset({tag})),
            now=0,
        )
        assert known.decide(access) == evaluate(compiled, grants, access), access


@pytest.mark.parametrize(
    ("paths", "permissions", "decisions"),
    [
        (["secret/app/*"], [], 1),
        (["secret/*", "secret/b", "secret/app/x/y"], ["secret/app/*"], 1),
        (["secret/app/*", "secret/app/3"], [], 9),
        (["secret/app/*", "secret/app/3*"], [], 9),
        (["secret/+/3"], [], 9),
        (["secret/app/*"], ["secret/app/3"], 9),
    ],
)
def test_what_is_known_of_a_folder(
    paths: list[str], permissions: list[str], decisions: int
) -> None:
    """One decision, where no rule and no permission speaks of some of what is in it."""
    rules = compile_policies(
        [validate_policy({"name": "app", "rules": [{**RULE, "paths": paths}]})]
    )
    cut = [Permission(capabilities=("*",), paths=tuple(permissions))] if permissions else []
    known = CompiledPolicies(rules, compile_permissions(cut), 1, BoundedMemo(1_000))
    for number in range(9):
        path = ResourcePath.parse(f"secret/app/{number}")
        known.decide(
            AccessRequest(
                capability=Capability.READ, path=path, identity=ANN, origin=Origin(ip=""), now=0
            )
        )
    assert len(known.decisions) == decisions


def test_folders_are_not_alike(make_access: Callable[..., AccessRequest]) -> None:
    """A rule for what is in one of them lists that one, and not the one beside it."""
    rule = {**RULE, "paths": ["secret/app/*"], "capabilities": ["list"]}
    rules = compile_policies([validate_policy({"name": "app", "rules": [rule]})])
    known = CompiledPolicies(rules, (), 1, BoundedMemo(1_000))
    listed = ["secret/app", "secret/other", "secret/app/", "secret/other/"]
    assert [known.decide(make_access("list", path)).allowed for path in listed] == [
        True, False, True, False
    ]  # fmt: skip
