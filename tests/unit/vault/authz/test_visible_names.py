"""The filter of a list, held against a decision for each name."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.vault.authz.samples import names, permissions_, rules_
from vault.authz.access import AccessRequest
from vault.authz.authorizer import VisibleNames
from vault.authz.compile import compile_permissions, compile_policies
from vault.authz.evaluate import CompiledPolicies, is_listed
from vault.authz.policy import validate_policy
from vault.model.identity import Identity, Method, Permission
from vault.model.memo import BoundedMemo
from vault.model.operation import Capability, Origin, SecretFacts
from vault.model.path import ResourcePath

ANN = Identity(id="u", name="ann", method=Method.TOKEN, policies=("p",))
HOME = Origin(ip="10.0.0.1")
_things = st.lists(st.tuples(names, st.sampled_from(["", "open"])), max_size=30)


def _filter(rules: Any, grants: Any = ()) -> VisibleNames:
    compiled = CompiledPolicies(rules, grants, 0, BoundedMemo(8))
    return VisibleNames(compiled, ANN, HOME, 0, "")


def _policies(*rules: dict[str, Any]) -> Any:
    return compile_policies([validate_policy({"name": "p", "rules": list(rules)})])


def _rule(effect: str, *paths: str, conditions: Any = ()) -> dict[str, Any]:
    return {
        "effect": effect, "paths": paths, "capabilities": ["list"], "conditions": list(conditions)
    }  # fmt: skip


@settings(max_examples=500)
@given(st.lists(rules_, max_size=4), st.lists(permissions_, max_size=2), st.booleans(), _things)
def test_as_each_would_be_decided(
    rules: list[dict[str, Any]],
    permissions: list[Permission],
    root: bool,
    things: list[tuple[str, str]],
) -> None:
    """In order or not, of any folders, with conditions, wildcards and a key's permissions."""
    policies = [validate_policy({"name": "p", "rules": rules})] if rules else []
    compiled, grants = compile_policies(policies, root=root), compile_permissions(permissions)
    visible = _filter(compiled, grants)
    for name, tag in [*things, *sorted(things)]:
        facts = SecretFacts(exists=True, tags=frozenset({tag}))
        access = AccessRequest(
            capability=Capability.LIST,
            path=ResourcePath.parse(name),
            identity=ANN,
            origin=HOME,
            facts=facts,
            now=0,
        )
        assert visible(name, facts) is is_listed(compiled, grants, access), name


def test_a_key_may_be_for_some_of_a_folder() -> None:
    """Then each of its names is decided by itself."""
    grants = compile_permissions([Permission(capabilities=("list",), paths=("a/y",))])
    visible = _filter(_policies(_rule("allow", "*")), grants)
    assert [visible(name, SecretFacts(exists=True)) for name in ("a/x", "a/y", "a/z")] == [
        False, True, False
    ]  # fmt: skip


def test_the_folder_is_the_nearest() -> None:
    """What lies deeper is no sign of what lies beside it."""
    visible = _filter(_policies(_rule("allow", "a/b/*")))
    names_ = ("a/x", "a/b/x", "a/y", "a/b/c/x", "a/b/y")
    assert [visible(name, SecretFacts(exists=True)) for name in names_] == [
        False, True, False, True, True
    ]  # fmt: skip
