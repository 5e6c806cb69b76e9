"""The filter of a list, held against a decision for each name."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.vault.authz.samples import TAGGED, names, permissions_, rules_
from vault.authz.access import AccessRequest
from vault.authz.authorizer import ListFilter
from vault.authz.compile import compile_permissions, compile_policies
from vault.authz.evaluate import is_listed
from vault.authz.policy import validate_policy
from vault.model.identity import Identity, Method, Permission
from vault.model.operation import Capability, Origin, SecretFacts
from vault.model.path import ResourcePath

ANN = Identity(id="u", name="ann", method=Method.TOKEN, policies=("p",))
HOME = Origin(ip="10.0.0.1")
_things = st.lists(st.tuples(names, st.sampled_from(["", "open"])), max_size=30)


def _filter(rules: Any, grants: Any = ()) -> ListFilter:
    return ListFilter(rules, grants, ANN, HOME, 0)


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


@pytest.mark.parametrize(
    ("rules", "decisions"),
    [
        ([_rule("allow", "a/*")], 1),
        ([_rule("allow", "a/*"), _rule("deny", "b/x", "a/x/y", "a/x/*", "ab")], 1),
        ([_rule("allow", "a/*"), {**_rule("allow", "a/n3"), "capabilities": ["read"]}], 1),
        ([_rule("allow", "*"), _rule("deny", "a/x")], 9),
        ([_rule("allow", "*"), _rule("deny", "a/n*")], 9),
        ([_rule("allow", "a/+")], 9),
        ([_rule("allow", "a/*", conditions=[TAGGED])], 9),
    ],
)
def test_what_is_decided_once(
    rules: list[dict[str, Any]], decisions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder, where no rule has a condition or speaks of some of what is in it."""
    asked = []

    def counted(*question: Any) -> bool:
        asked.append(question)
        return is_listed(*question)

    monkeypatch.setattr("vault.authz.authorizer.is_listed", counted)
    visible = _filter(_policies(*rules))
    for n in range(9):
        visible(f"a/n{n}", SecretFacts(exists=True))
    assert len(asked) == decisions


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
