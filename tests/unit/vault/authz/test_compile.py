"""Compilation: one order of rules, filed by capability and pattern."""

from collections.abc import Callable
from typing import Any

from vault.authz.access import AccessRequest
from vault.authz.compile import compile_permissions, compile_policies
from vault.authz.policy import validate_policy
from vault.model.identity import Permission
from vault.model.operation import Capability


def _policy(name: str, *effects: str, **more: Any) -> Any:
    rules = [{"effect": e, "paths": ["secret/*"], "capabilities": ["read"]} for e in effects]
    return validate_policy({"name": name, "rules": rules, **more})


def test_one_order() -> None:
    """Denials first, then the higher priority, then the name, then the place in the policy."""
    rules = compile_policies(
        [
            _policy("c", "allow", "deny", "allow", priority=1),
            _policy("b", "allow", priority=9),
            _policy("a", "allow", "deny", priority=1),
        ]
    ).rules
    assert [rule.label for rule in rules] == [
        "a/rules[1]",
        "c/rules[1]",
        "b/rules[0]",
        "a/rules[0]",
        "c/rules[0]",
        "c/rules[2]",
    ]
    assert [rule.order for rule in rules] == list(range(6))


def test_disabled_counts_for_nothing() -> None:
    """A disabled policy neither allows, denies, nor asks for facts."""
    tags = {"conditions": [{"type": "tags", "any": ["a"]}]}
    compiled = compile_policies([_policy("a", "deny", enabled=False, **tags)])
    assert compiled.rules == ()
    assert not compiled.needs_facts
    assert compile_policies([_policy("a", "deny", **tags)]).needs_facts


def test_of_policies_that_bind_only_the_denials_count() -> None:
    """What a credential came from denies it something, and allows it nothing."""
    policies = [_policy("a", "allow", "deny"), _policy("b", "allow", "deny")]
    compiled = compile_policies(policies, denied_by={"a"})
    assert [rule.label for rule in compiled.rules] == ["a/rules[1]", "b/rules[1]", "b/rules[0]"]


def test_star_is_every_capability() -> None:
    """`*` stands for every capability there is."""
    policy = validate_policy(
        {"name": "p", "rules": [{"effect": "deny", "paths": ["a"], "capabilities": ["*"]}]}
    )
    assert all(
        table.index.exact["a"][0].deny for table in compile_policies([policy]).tables.values()
    )
    assert set(compile_policies([policy]).tables) == set(Capability)
    granted = compile_permissions([Permission(capabilities=("*",), paths=("a",))])
    assert granted[0].capabilities == frozenset(Capability)


def test_root_is_no_document() -> None:
    """A policy object named `root`, however it came to be, makes nobody root."""
    forged = validate_policy({"name": "p"}).__class__(name="root")
    assert not compile_policies([forged]).root


def test_undecidable_refuses(make_access: Callable[..., AccessRequest]) -> None:
    """A condition that cannot be decided does not hold for an allowance and holds for a denial."""
    network = {"conditions": [{"type": "source_network", "networks": ["10.0.0.0/8"]}]}
    allow = compile_policies([_policy("a", "allow", **network)]).rules[0]
    deny = compile_policies([_policy("a", "deny", **network)]).rules[0]
    nowhere, outside = make_access(ip="?"), make_access(ip="11.0.0.1")
    assert (allow.conditions_hold(nowhere), deny.conditions_hold(nowhere)) == (False, True)
    assert (allow.conditions_hold(outside), deny.conditions_hold(outside)) == (False, False)


def test_false_beats_undecidable(make_access: Callable[..., AccessRequest]) -> None:
    """A denial with a condition that is plainly false does not apply, in whatever order."""
    pair = [
        {"type": "source_network", "networks": ["10.0.0.0/8"]},
        {"type": "mfa_present"},
    ]
    for conditions in (pair, pair[::-1]):
        deny = compile_policies([_policy("a", "deny", conditions=conditions)]).rules[0]
        assert not deny.conditions_hold(make_access(ip="?"))
