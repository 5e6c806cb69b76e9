"""Policies in the other language: the same is allowed, or it is told what is not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.authz.access import AccessRequest
from vault.authz.policy import Policy, validate_policy
from vault.authz.policy_conversion import to_acl, to_native
from vault.authz.policy_store import PolicySnapshot
from vault.model.acl.policy import parse_acl_policy
from vault.model.identity import Identity, Method
from vault.model.mounts import MountTable
from vault.model.operation import Capability, Origin
from vault.model.path import ResourcePath
from vault.model.records import MountRow

MOUNTS = MountTable(
    MountRow(path=path, id=path, accessor=path, version=version, created_at=1)
    for path, version in (("secret/", 2), ("old/", 1), ("team/kv/", 2))
)
PATHS = ("secret/app/db", "secret/app/x/y", "secret/other", "old/a", "old/b/c", "team/kv/z")
PATTERNS = ("secret/*", "secret/app/*", "secret/app/db", "secret/+/db", "old/*", "old/a", "team/*")
KINDS = tuple(one.value for one in Capability if one != Capability.SUDO)


def native(*rules: dict[str, Any]) -> Policy:
    """A policy of rules."""
    return validate_policy({"name": "p", "rules": list(rules)})


def rule(effect: str, paths: list[str], capabilities: list[str], **more: Any) -> dict[str, Any]:
    """One rule."""
    return {"effect": effect, "paths": paths, "capabilities": capabilities, **more}


def allowed(policy: Policy, capability: Capability, path: str) -> bool:
    """What somebody with this policy alone may do."""
    snapshot = PolicySnapshot([policy], mounts=MOUNTS)
    who = Identity(id="a", name="a", method=Method.TOKEN, policies=("p",))
    place = ResourcePath.parse(path)
    access = AccessRequest(
        capability=capability, path=place, identity=who, origin=Origin(ip="::1"), now=1
    )
    return snapshot.compiled_for(who).decide(access).allowed


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("allow", "allow", "deny")),
            st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2, unique=True),
            st.lists(st.sampled_from(KINDS), min_size=1, max_size=4, unique=True),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_nothing_is_allowed_that_was_not(rules: list[tuple[str, list[str], list[str]]]) -> None:
    """Rules in Vault's language: more only where that is told, the same where nothing is."""
    policy = native(*(rule(*one) for one in rules))
    found = to_acl(policy, MOUNTS)
    other = validate_policy({"name": "p", "acl": found.acl or "# nothing"})
    wider = any("would lift" in note or "too at" in note for note in found.notes)
    for path in PATHS:
        for capability in Capability:
            if capability is Capability.SUDO:
                continue
            before, after = (allowed(one, capability, path) for one in (policy, other))
            if not wider:
                assert before or not after, (path, capability, found)
            if found.exact:
                assert before == after, (path, capability, found)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ('path "secret/data/app/*" { capabilities = ["read"] }', [("secret/app/*", ["read"])]),
        ('path "secret/metadata/*" { capabilities = ["list"] }', [("secret/*", ["list"])]),
        (
            'path "secret/metadata/x" { capabilities = ["read", "delete"] }',
            [("secret/x", ["destroy", "read_metadata"])],
        ),
        ('path "secret/destroy/x" { capabilities = ["update"] }', [("secret/x", ["destroy"])]),
        ('path "old/a" { capabilities = ["create", "update"] }', [("old/a", ["create", "update"])]),
        ('path "sys/policies/acl/*" { capabilities = ["read"] }', [("sys/policies/*", ["read"])]),
    ],
)
def test_what_maps_exactly(text: str, rules: list[tuple[str, list[str]]]) -> None:
    """Nothing is told."""
    found = to_native(parse_acl_policy("p", text), MOUNTS)
    assert found.notes == ()
    assert [(list(r.paths), list(r.capabilities)) for r in found.rules] == [
        ([path], capabilities) for path, capabilities in rules
    ]


@pytest.mark.parametrize(
    ("text", "word", "rules"),
    [
        ('path "old/a" { capabilities = ["read"] required_parameters = ["x"] }', "left out", 0),
        ('path "old/a" { capabilities = ["read"] expiration = "2030-01-01T00:00:00Z" }',
         "expiration", 0),
        ('path "old/{{identity.entity.name}}" { capabilities = ["read"] }', "templates", 0),
        ('path "nowhere/a" { capabilities = ["read"] }', "no mount", 1),
        ('path "secret/config" { capabilities = ["read"] }', "has no config", 0),
        ('path "secret/metadata/a" { capabilities = ["deny"] }', "denies all", 1),
        ('path "old/*" { capabilities = ["deny"] } path "old/a" { capabilities = ["read"] }',
         "a denial wins", 2),
        (('path "old/*" { capabilities = ["read", "list"] } '
         'path "old/a" { capabilities = ["read"] }'), "allowed more natively", 2),
    ],
)  # fmt: skip
def test_what_does_not_map_is_reported(text: str, word: str, rules: int) -> None:
    """And what would allow more is left out."""
    found = to_native(parse_acl_policy("p", text), MOUNTS)
    assert any(word in note for note in found.notes), found.notes
    assert len(found.rules) == rules
    assert not found.exact


@pytest.mark.parametrize(
    ("written", "word"),
    [
        (rule("allow", ["old/a"], ["read"], conditions=[{"type": "mfa_present"}]), "mfa_present"),
        (rule("deny", ["old/a"], ["*"], conditions=[{"type": "mfa_present"}]), "denies always"),
        (rule("deny", ["old/a"], ["read"]), "a denial is whole"),
        (rule("allow", ["+/a"], ["read"]), "several mounts"),
        (rule("allow", ["old/a"], ["read"]), "allows read_metadata too"),
    ],
)
def test_what_rules_say_and_paths_cannot(written: dict[str, Any], word: str) -> None:
    """Conditions above all: an allowance with one is left out."""
    found = to_acl(native(written), MOUNTS)
    assert any(word in note for note in found.notes), found.notes
