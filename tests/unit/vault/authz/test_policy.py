"""The policy document: what is accepted, and that a refusal points at the fault."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.authz.policy import (
    MAX_RULES,
    policy_document,
    validate_new_policy,
    validate_permissions,
    validate_policy,
)
from vault.errors import ValidationError

RULE = {"effect": "allow", "paths": ["secret/app/*"], "capabilities": ["read", "list"]}
FULL = {
    "name": "app-read",
    "description": "what the app may",
    "enabled": True,
    "priority": 7,
    "rules": [
        {
            **RULE,
            "conditions": [
                {"type": "time_window", "days": ["mon"], "from": "08:00", "to": "18:30"},
                {"type": "source_network", "networks": ["10.0.0.0/8", "2001:db8::/32"]},
                {"type": "auth_method", "methods": ["api_key"]},
                {"type": "tags", "any": ["prod"], "none": ["frozen"]},
                {"type": "metadata", "key": "team", "in": ["a", "b"]},
                {"type": "metadata", "key": "team", "equals": "a"},
                {"type": "mfa_present", "not": True},
            ],
        },
        {"effect": "deny", "paths": ["secret/+/root"], "capabilities": ["*"]},
    ],
    "conditions": [{"type": "source_network", "networks": ["0.0.0.0/0"]}],
    "actions": [{"type": "alert"}],
}


def _faults(written: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        validate_policy(written)
    found = [error["field"] for error in caught.value.details["errors"]]  # type: ignore[attr-defined]
    assert caught.value.details["field"] == found[0]
    return found


def _with_rule(**changes: object) -> dict[str, Any]:
    return {"name": "p", "rules": [RULE, {**RULE, **changes}]}


def _with_condition(**condition: object) -> dict[str, Any]:
    return _with_rule(conditions=[condition])


def test_round_trip() -> None:
    """A valid document survives being stored as JSON, to an equal policy."""
    policy = validate_policy(FULL)
    assert validate_policy(json.loads(json.dumps(policy_document(policy)))) == policy
    assert (
        policy.rules[0].conditions == validate_policy(policy_document(policy)).rules[0].conditions
    )


def test_defaults() -> None:
    """The least document is enabled, of priority 100, and allows nothing."""
    policy = validate_policy({"name": "p"})
    assert (policy.enabled, policy.priority, policy.rules) == (True, 100, ())


@pytest.mark.parametrize(
    ("written", "fields"),
    [
        (3, [""]),
        ([], [""]),
        ({}, ["name"]),
        ({"name": 3}, ["name"]),
        ({"name": "p", "nope": 1}, ["nope"]),
        ({"name": "p", "priority": "high"}, ["priority"]),
        ({"name": "p", "priority": 10**30}, ["priority"]),
        ({"name": "p", "enabled": 1}, ["enabled"]),
        ({"name": "p", "rules": [RULE] * (MAX_RULES + 1)}, ["rules"]),
        ({"name": "p", "actions": [{"type": "require_reason"}]}, ["actions[0].type"]),
        ({"name": "p", "actions": [{"type": "alert", "to": "x"}]}, ["actions[0].to"]),
        (_with_rule(effect="permit"), ["rules[1].effect"]),
        (_with_rule(paths=[]), ["rules[1].paths"]),
        (_with_rule(paths="secret/*"), ["rules[1].paths"]),
        (_with_rule(paths=["secret/*/x"]), ["rules[1].paths[0]"]),
        (_with_rule(paths=["ok", "a//b"]), ["rules[1].paths[1]"]),
        (_with_rule(capabilities=["read", "fly"]), ["rules[1].capabilities[1]"]),
        (_with_rule(capabilities=[]), ["rules[1].capabilities"]),
        (_with_rule(capabilities=["*", "read"]), ["rules[1].capabilities"]),
        (_with_condition(type="moon_phase"), ["rules[1].conditions[0].type"]),
        (_with_condition(networks=["::/0"]), ["rules[1].conditions[0].type"]),
        (
            _with_condition(type="source_network", networks=["10.0.0.0/8", "10.0.0.1/8", "x"]),
            ["rules[1].conditions[0].networks[1]", "rules[1].conditions[0].networks[2]"],
        ),
        (
            _with_condition(type="time_window", tz="Mars/Olympus", days=["mon", "someday"]),
            ["rules[1].conditions[0].days[1]", "rules[1].conditions[0].tz"],
        ),
        (_with_condition(type="time_window", tz="../../etc/passwd"), ["rules[1].conditions[0].tz"]),
        (
            _with_condition(type="time_window", **{"from": "9:00", "to": "24:01"}),
            ["rules[1].conditions[0].from", "rules[1].conditions[0].to"],
        ),
        (
            _with_condition(type="time_window", **{"from": "09:00", "to": "09:00"}),
            ["rules[1].conditions[0].to"],
        ),
        (
            _with_condition(type="auth_method", methods=["magic"]),
            ["rules[1].conditions[0].methods[0]"],
        ),
        (_with_condition(type="tags"), ["rules[1].conditions[0]"]),
        (_with_condition(type="metadata", key="k"), ["rules[1].conditions[0]"]),
        (
            _with_condition(type="metadata", key="k", equals="a", **{"in": ["b"]}),
            ["rules[1].conditions[0]"],
        ),
        ({"name": "p", "conditions": [{"type": "tags"}]}, ["conditions[0]"]),
        (
            {"name": "Root", "rules": [{**RULE, "paths": ["/x"], "capabilities": ["fly"]}]},
            ["name", "rules[0].paths[0]", "rules[0].capabilities[0]"],
        ),
    ],
)
def test_points_at_the_fault(written: object, fields: list[str]) -> None:
    """Each fault is named by its field; faults beyond shape are named all at once."""
    assert _faults(written) == fields


@pytest.mark.parametrize(
    "name",
    ["root", "ROOT", "Root", "rOoT", " root", "root ", "root\t", "ro\u200bot", "ro\u043et",
     "\uff52\uff4f\uff4f\uff54",
     "r\u014d\u014dt", "root\0", "root/", "sys/root", "", ".", "..", "-x", "a b", "a,b", "*", "+",
     "\u212aeep", "x" * 129, "a\n"],
)  # fmt: skip
def test_reserved_and_unclear_names(name: str) -> None:
    """No case, space or Unicode variant of `root`, nor any unclear name, can be written."""
    assert _faults({"name": name}) == ["name"]


def test_capitals_fold() -> None:
    """ASCII capitals fold, as in OpenBao, so that two names never differ by case alone."""
    assert validate_policy({"name": "App.Read_1"}).name == "app.read_1"


@given(st.text(min_size=8, max_size=40, alphabet="ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"))
def test_no_value_in_messages(canary: str) -> None:
    """A refusal never repeats a value, wherever it stood."""
    for written in (
        {"name": "p", "priority": canary},
        {"name": f"{canary} "},
        _with_rule(effect=canary),
        _with_rule(paths=[f"{canary}//"]),
        _with_rule(capabilities=[canary]),
        _with_condition(type=canary),
        _with_condition(type="source_network", networks=[canary]),
        _with_condition(type="auth_method", methods=[canary]),
        _with_condition(type="time_window", tz=canary),
        {"name": "p", f"{canary}!": 1},
    ):
        with pytest.raises(ValidationError) as caught:
            validate_policy(written)
        assert canary not in f"{caught.value} {caught.value.details}"


def test_size_bound() -> None:
    """The whole document has a bound, however its parts are within theirs."""
    paths = [f"{i:03}{'x' * 500}" for i in range(100)]
    with pytest.raises(ValidationError, match="longer than"):
        validate_policy({"name": "p", "rules": [{**RULE, "paths": paths}] * 6})


def test_permissions() -> None:
    """Permissions of a key follow the grammar of rules, and their faults are named alike."""
    good = validate_permissions([{"capabilities": ["read"], "paths": ["secret/app/*"]}])
    assert good[0].paths == ("secret/app/*",)
    for written, field in (
        ([{"capabilities": ["read"], "paths": ["a//b"]}], "permissions[0].paths[0]"),
        ([{"capabilities": ["fly"], "paths": ["a"]}], "permissions[0].capabilities[0]"),
        ([{"capabilities": ["read"]}], "permissions[0].paths"),
        ([{"capabilities": ["read"], "paths": []}], "permissions[0].paths"),
        ("all", "permissions"),
    ):
        with pytest.raises(ValidationError) as caught:
            validate_permissions(written)
        assert caught.value.details["field"] == field


def test_paths_with_a_plus_are_bounded() -> None:
    """Of all permissions of a key together; a plus that is a letter is none."""
    few = {"capabilities": ["*"], "paths": [f"+/a{i}" for i in range(50)]}
    letters = {"capabilities": ["*"], "paths": [f"a{i}/+*" for i in range(50)]}
    assert len(validate_permissions([few] * 20 + [letters] * 44)) == 64
    with pytest.raises(ValidationError, match=r"at most 1000 paths with '\+'"):
        validate_permissions([few] * 20 + [{"capabilities": ["*"], "paths": ["a/+"]}])


def test_what_a_read_shows_can_be_written_back() -> None:
    """The number and time of its edition are not part of the document."""
    shown = {"name": "a", "acl": 'path "a" {}', "version": 3, "updated_at": "2026-01-01T00:00:00Z"}
    assert validate_new_policy(shown).acl == 'path "a" {}'
