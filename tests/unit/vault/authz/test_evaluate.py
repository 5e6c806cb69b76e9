"""The decision, held against a reference that does it the slow and obvious way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.authz.access import AccessRequest
from vault.authz.compile import compile_permissions, compile_policies
from vault.authz.evaluate import evaluate, explain, is_listed
from vault.authz.policy import Policy, validate_policy
from vault.errors import ValidationError
from vault.model.identity import Identity, Method, Permission
from vault.model.operation import Capability, Origin, SecretFacts
from vault.model.path import ResourcePath

Make = Callable[..., AccessRequest]
VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "policy_paths.json").read_text())


def _rule(effect: str, paths: str, capabilities: str = "read", *conditions: Any) -> dict[str, Any]:
    return {
        "effect": effect,
        "paths": paths.split(),
        "capabilities": capabilities.split(),
        "conditions": conditions,
    }


def _policy(*rules: dict[str, Any], name: str = "p", **more: Any) -> Policy:
    return validate_policy({"name": name, "rules": list(rules), **more})


def _decide(
    access: AccessRequest, *policies: Policy, permissions: tuple[Permission, ...] = ()
) -> Any:
    return evaluate(compile_policies(policies), compile_permissions(permissions), access)


# What a person reads in the documentation.


def test_deny_by_default(make_access: Make) -> None:
    """Nothing that no rule allows is allowed, with policies or without."""
    assert not _decide(make_access()).allowed
    found = _decide(make_access(), _policy(_rule("allow", "secret/other", "*")))
    assert (found.allowed, found.reason, found.rule) == (False, "no_rule", "")


def test_vectors(make_access: Make) -> None:
    """The dashboard tries policies out with code of its own; both are held against these."""
    policy = _policy(*VECTORS["rules"])
    for path, capability, effect, rule in VECTORS["cases"]:
        found = _decide(make_access(capability, path), policy)
        told = found.rule.removeprefix("p/")
        wanted = (effect == "allow", rule)
        assert (found.allowed, told) == wanted, (path, capability)


@pytest.mark.parametrize("capability", list(Capability))
def test_deny_wins(make_access: Make, capability: str) -> None:
    """A denial wins for every capability, whatever the priorities and however exact the rules."""
    allow = _policy(_rule("allow", "secret/app/db", "*"), name="allow", priority=1000)
    deny = _policy(_rule("deny", "secret/*", "*"), name="deny", priority=-1000)
    found = _decide(make_access(capability), allow, deny)
    assert (found.allowed, found.rule) == (False, "deny/rules[0]")
    assert _decide(make_access(capability), allow).allowed


def test_capabilities_do_not_imply_each_other(make_access: Make) -> None:
    """Each capability allows itself alone; sudo allows no other."""
    for held in Capability:
        policy = _policy(_rule("allow", "secret/*", held))
        allowed = [c for c in Capability if _decide(make_access(c), policy).allowed]
        assert allowed == [held]


def test_priority_names_the_rule(make_access: Make) -> None:
    """Of several allowances the one of highest priority is named."""
    low = _policy(_rule("allow", "secret/app/db"), name="a", priority=1)
    high = _policy(_rule("allow", "*"), name="b", priority=2)
    assert _decide(make_access(), low, high).rule == "b/rules[0]"


def test_conditions_of_policy_and_rule(make_access: Make) -> None:
    """Both the policy's conditions and the rule's must hold."""
    mfa = {"type": "mfa_present"}
    network = {"type": "source_network", "networks": ["10.0.0.0/8"]}
    policy = _policy(_rule("allow", "secret/*", "read", mfa), conditions=[network])
    assert _decide(make_access(mfa_at=1), policy).allowed
    assert not _decide(make_access(), policy).allowed
    assert not _decide(make_access(mfa_at=1, ip="11.0.0.1"), policy).allowed


def test_root(make_access: Make) -> None:
    """Root is allowed everything, denials included, but not beyond its key's permissions."""
    deny = _policy(_rule("deny", "*", "*"))
    rules = compile_policies([deny], root=True)
    assert all(evaluate(rules, (), make_access(c)).allowed for c in Capability)
    cut = compile_permissions([Permission(capabilities=("read",), paths=("secret/app/*",))])
    assert evaluate(rules, cut, make_access("read")).allowed
    assert not evaluate(rules, cut, make_access("update")).allowed


def test_permissions_intersect(make_access: Make) -> None:
    """A key's permissions cut down what the policies allow and never add to it."""
    policy = _policy(_rule("allow", "secret/app/*", "read list"))
    wide = (Permission(capabilities=("*",), paths=("*",)),)
    narrow = (Permission(capabilities=("read",), paths=("secret/app/x",)),)
    assert _decide(make_access("read"), policy, permissions=wide).allowed
    assert not _decide(make_access("update"), policy, permissions=wide).allowed
    assert _decide(make_access("read", "secret/app/x"), policy, permissions=narrow).allowed
    found = _decide(make_access("read"), policy, permissions=narrow)
    assert (found.allowed, found.reason) == (False, "key_permissions")


def test_listing_a_folder(make_access: Make) -> None:
    """A folder is listed under a rule for it or for what is in it, with its slash or without."""
    for pattern in ("secret/app", "secret/app/*", "secret/*", "secret/+", "*"):
        policy = _policy(_rule("allow", pattern, "list"))
        assert _decide(make_access("list", "secret/app/"), policy).allowed, pattern
        assert _decide(make_access("list", "secret/app"), policy).allowed, pattern
        denied = _policy(_rule("deny", pattern, "list"), _rule("allow", "*", "list"))
        assert not _decide(make_access("list", "secret/app/"), denied).allowed, pattern
    for pattern in ("secret/app/db", "secret/app/x/*", "secret/ap", "secret"):
        policy = _policy(_rule("allow", pattern, "list"))
        assert not _decide(make_access("list", "secret/app/"), policy).allowed, pattern
    everything = _policy(_rule("allow", "*", "list"))
    assert _decide(make_access("list", ""), everything).allowed
    assert not _decide(make_access("list", ""), _policy(_rule("allow", "secret/*", "list"))).allowed


def test_only_listing_looks_at_folders(make_access: Make) -> None:
    """A rule for what is in a folder says nothing of a secret that has the folder's name."""
    policy = _policy(_rule("allow", "secret/app/*", "read"))
    assert not _decide(make_access("read", "secret/app"), policy).allowed


def test_what_a_list_shows(make_access: Make) -> None:
    """A name shows under a rule for it or for exactly its folder, unless a denial hides it."""
    rules = compile_policies(
        [_policy(_rule("allow", "secret/app", "list"), _rule("deny", "secret/app/hidden", "list"))]
    )
    shown = {
        name: is_listed(rules, (), make_access("list", name))
        for name in ("secret/app/db", "secret/app/hidden", "secret/app/x/y", "secret/b/db", "app")
    }
    assert shown == {
        "secret/app/db": True,
        "secret/app/hidden": False,
        "secret/app/x/y": False,
        "secret/b/db": False,
        "app": False,
    }


def test_alert(make_access: Make) -> None:
    """A decision in which a rule of an alerting policy took part is flagged, whoever decided."""
    plain = _policy(_rule("allow", "secret/*"), name="a", priority=900)
    alert = _policy(_rule("allow", "secret/app/*"), name="b", actions=[{"type": "alert"}])
    found = _decide(make_access(), plain, alert)
    assert (found.rule, found.alert) == ("a/rules[0]", True)
    assert _decide(make_access(), alert).alert
    assert not _decide(make_access(path="secret/x"), plain, alert).alert
    assert not _decide(make_access(), plain).alert


def test_identity_values_are_no_patterns(make_access: Make) -> None:
    """Wildcards and separators in what an identity is called allow it nothing."""
    policy = _policy(_rule("allow", "secret/team-+/x secret/users/ann/*"))
    for name in ("*", "+", "/", ",", "ann/*", "{{identity.name}}", "ann,root", "../ann"):
        path = "secret/users/bob/x"
        access = make_access(path=path, name=name, id=name, policies=(name, "p"), credential=name)
        assert not _decide(access, policy).allowed


# A dry run.


def _missing(
    access: AccessRequest, *policies: Policy, permissions: tuple[Permission, ...] = ()
) -> str:
    rules, grants = compile_policies(policies), compile_permissions(permissions)
    found = explain(rules, grants, access)
    assert found.allowed is evaluate(rules, grants, access).allowed
    return " | ".join(found.missing)


def test_dry_run(make_access: Make) -> None:
    """A no says what stands between the caller and a yes; a yes says by which rule."""
    reads = _policy(_rule("allow", "secret/app/*", "read list"), name="reads")
    assert explain(compile_policies([reads]), (), make_access()).rule == "reads/rules[0]"
    assert _missing(make_access(), reads) == ""
    assert _missing(make_access(path="secret/x"), reads) == "no rule allows read here"
    assert _missing(make_access("update"), reads) == (
        "reads/rules[0] covers this path with read, list, not update"
    )
    mfa = _policy(_rule("allow", "secret/*", "read", {"type": "mfa_present"}), name="strict")
    assert _missing(make_access(), mfa) == "strict/rules[0]: condition mfa_present does not hold"
    near = _policy(
        _rule("allow", "*", "read", {"type": "source_network", "networks": ["::/0"]}), name="near"
    )
    assert "cannot be decided" in _missing(make_access(ip="?"), near)
    deny = _policy(_rule("deny", "secret/*"), name="no")
    assert _missing(make_access(), reads, deny) == "no/rules[0] denies read here; a denial wins"
    cut = (Permission(capabilities=("list",), paths=("*",)),)
    assert "permissions do not include read" in _missing(make_access(), reads, permissions=cut)


# The reference: no index, no order, no early end. It shares nothing with the compiled form but the
# documents; patterns and conditions are written out again.


def _covers(pattern: str, path: str) -> bool:
    if "+" not in pattern.split("/"):
        return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern
    want, have = pattern.split("/"), path.split("/")
    if not pattern.endswith("*"):
        if len(want) != len(have):
            return False
        return all(w == h or (w == "+" and h) for w, h in zip(want, have, strict=True))
    if len(have) < len(want):
        return False
    rest = "/".join(have[len(want) - 1 :])
    head = zip(want[:-1], have, strict=False)
    return all(w == h or (w == "+" and h) for w, h in head) and rest.startswith(want[-1][:-1])


def _true(condition: dict[str, Any], access: AccessRequest) -> bool | None:
    match condition["type"]:
        case "mfa_present":
            truth = access.identity.mfa
        case "auth_method":
            truth = access.identity.method in condition["methods"]
        case "tags":
            truth = bool(set(condition["any"]) & access.facts.tags)
        case _:
            if not access.origin.ip:
                return None
            truth = access.origin.ip.startswith("10.")
    return truth != condition.get("not", False)


def _reference(documents: list[dict[str, Any]], access: AccessRequest) -> bool:
    path = access.path.removesuffix("/") if access.capability == "list" else str(access.path)
    paths = [path, path + "/"] if access.capability == "list" and path else [path]
    allowed = denied = False
    for policy in documents:
        for rule in policy["rules"] if policy["enabled"] else []:
            if access.capability not in rule["capabilities"] and "*" not in rule["capabilities"]:
                continue
            if not any(_covers(pattern, p) for pattern in rule["paths"] for p in paths):
                continue
            truths = [_true(c, access) for c in policy["conditions"] + rule["conditions"]]
            if rule["effect"] == "deny":
                denied |= all(truth is not False for truth in truths)
            else:
                allowed |= all(truth is True for truth in truths)
    return allowed and not denied


_SEGMENTS = ["a", "b", "ab", "a+"]
_names = st.lists(st.sampled_from(_SEGMENTS), min_size=1, max_size=4).map("/".join)
_patterns = st.builds(
    lambda parts, end: "/".join(parts) + end,
    st.lists(st.sampled_from([*_SEGMENTS, "+", "+"]), min_size=1, max_size=4),
    st.sampled_from(["", "", "*", "/*"]),
) | st.just("*")
_conditions = st.sampled_from(
    [
        {"type": kind, "not": negate, **rest}
        for negate in (False, True)
        for kind, rest in (
            ("mfa_present", {}),
            ("auth_method", {"methods": ["token"]}),
            ("tags", {"any": ["x", "y"]}),
            ("source_network", {"networks": ["10.0.0.0/8"]}),
        )
    ]
)
_few = st.lists(_conditions, max_size=2)
_rules = st.fixed_dictionaries(
    {
        "effect": st.sampled_from(["allow", "allow", "allow", "deny"]),
        "paths": st.lists(_patterns, min_size=1, max_size=3),
        "capabilities": st.just(["*"])
        | st.lists(st.sampled_from([c.value for c in Capability]), min_size=1, max_size=3),
        "conditions": st.just([]) | _few,
    }
)
_documents = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["p", "q", "r"]),
            "enabled": st.sampled_from([True, True, True, False]),
            "priority": st.integers(-2, 2),
            "rules": st.lists(_rules, max_size=5),
            "conditions": st.just([]) | _few,
        }
    ),
    max_size=4,
    unique_by=lambda document: str(document["name"]),
)
_accesses = st.builds(
    lambda name, folder, ip, mfa, method, tags: {
        "path": ResourcePath.parse_folder(name) if folder else ResourcePath.parse(name),
        "identity": Identity(id="u", name="u", method=method, mfa_at=int(mfa)),
        "origin": Origin(ip=ip),
        "facts": SecretFacts(exists=True, tags=frozenset(tags)),
    },
    _names,
    st.booleans(),
    st.sampled_from(["10.0.0.1", "11.0.0.1", ""]),
    st.booleans(),
    st.sampled_from([Method.TOKEN, Method.API_KEY]),
    st.sampled_from(["", "x", "z", "xz"]),
)


@settings(max_examples=400, deadline=None)
@given(_documents, st.lists(_accesses, min_size=1, max_size=6))
def test_same_as_the_reference(
    documents: list[dict[str, Any]], accesses: list[dict[str, Any]]
) -> None:
    """For every capability the compiled rules decide as the plain reading of the documents does."""
    try:
        rules = compile_policies([validate_policy(document) for document in documents])
    except ValidationError as fault:
        raise AssertionError(fault.details) from fault
    for access in accesses:
        for capability in Capability:
            asked = AccessRequest(capability=capability, now=0, **access)
            found = evaluate(rules, (), asked)
            assert found.allowed is _reference(documents, asked)
            assert (found.reason == "no_rule") is (found.rule == "")


# fmt: off
_PIECES = (
    "/", "//", ".", "..", "/./", "/../", "%2f", "%2F", "%2e", "%00", "\\", "*", "+", "", "\0", " ",
    "\t", "\u200b", "\u00ad", "\u0301", "\ufeff", "\u2215",
)
# fmt: on


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_path_mutations(data: st.DataObject) -> None:
    """A mutated spelling of a denied path is refused as a path, denied, or another path.

    Another path is one that differs after every normalisation that a storage might do.
    """
    denied = "secret/app/db"
    rules = compile_policies([_policy(_rule("allow", "*", "*"), _rule("deny", denied, "*"))])
    text = list(denied)
    for _ in range(data.draw(st.integers(1, 3))):
        piece = data.draw(st.sampled_from(_PIECES))
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 1))] = [piece]
    mutated = "".join(text)
    try:
        path = ResourcePath.parse(mutated)
    except ValidationError:
        return
    access = AccessRequest(
        capability=Capability.READ,
        path=path,
        identity=Identity(id="u", name="u", method=Method.TOKEN),
        origin=Origin(ip=""),
        now=0,
    )
    assert str(path) == mutated
    assert evaluate(rules, (), access).allowed is (mutated != denied)
