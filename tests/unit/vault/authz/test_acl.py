"""Decisions by policies in Vault's language, as OpenBao makes them."""

from typing import Any

import pytest

from protocols.instant import SECOND
from vault.authz.acl import AclDenials, AclRules
from vault.model.acl.access import AclCapability, ApiAccess
from vault.model.acl.policy import parse_acl_policy

C = AclCapability


def rules(*texts: str, denied_by: tuple[str, ...] = (), **values: str) -> AclRules:
    """Policies p0, p1, … with template values `a__b` for `a.b`."""
    policies = [parse_acl_policy(f"p{i}", text) for i, text in enumerate(texts)]
    filled = {name.replace("__", "."): value for name, value in values.items()}
    return AclRules(policies, filled, denied_by)


def allows(found: AclRules, path: str, verb: C = C.READ, *, now: int = 1, **more: Any) -> bool:
    """Whether a request is allowed; `data` are its parameters."""
    data = more.pop("data", {})
    access = ApiAccess(path=path, operation=verb, parameters=lambda: data, **more)
    return found.decide(access, now).allowed


def test_the_most_specific_path_alone_decides() -> None:
    """Exact, then the later first wildcard, then no open end, fewer `+`, the longer."""
    found = rules(
        """
        path "a/b/c" { capabilities = ["create"] }
        path "a/b/+" { capabilities = ["read"] }
        path "a/+/c" { capabilities = ["update"] }
        path "a/+/+" { capabilities = ["delete"] }
        path "a/*" { capabilities = ["list"] }
        """
    )
    for path, verb in [
        ("a/b/c", C.CREATE), ("a/b/x", C.READ), ("a/x/c", C.UPDATE), ("a/x/y", C.DELETE),
        ("a/x", C.LIST), ("a/b/c/d", C.LIST),
    ]:  # fmt: skip
        assert [one for one in C if allows(found, path, one)] == [verb]
    assert not allows(found, "b")


def test_policies_add_up_on_the_same_path_and_deny_beats_them() -> None:
    """On another path it is only the more specific one that counts."""
    found = rules(
        'path "a" { capabilities = ["read"] } path "d/*" { capabilities = ["deny"] }',
        'path "a" { capabilities = ["list"] } path "d/x" { capabilities = ["read"] }',
        'path "d/*" { capabilities = ["read"] }',
    )
    assert allows(found, "a")
    assert allows(found, "a", C.LIST)
    assert allows(found, "d/x")
    assert not allows(found, "d/y")
    assert found.decide(ApiAccess(path="d/y", operation=C.READ), 1).denied


def test_a_folder_is_listed_by_a_path_without_its_slash() -> None:
    """Only a list: a read of `a/` is of another thing."""
    found = rules('path "a" { capabilities = ["list", "read"] }')
    assert allows(found, "a/", C.LIST)
    assert not allows(found, "a/", C.READ)


def test_policies_of_those_before_count_for_what_they_deny() -> None:
    """What they allow does not come to whoever was made by them."""
    text = 'path "a" { capabilities = ["deny"] } path "b" { capabilities = ["read"] }'
    found = rules(text, 'path "a" { capabilities = ["read"] }', denied_by=("p0",))
    assert not allows(found, "a")
    assert not allows(found, "b")


def test_parameters_are_held_to_what_is_allowed_and_denied() -> None:
    """By name in any case, values by a `*` at either end; 1 is not true."""
    found = rules(
        """
        path "w" {
          capabilities = ["update"]
          allowed_parameters = { name = ["app-*"], n = [1], any = [] }
          denied_parameters = { bad = [] }
          required_parameters = ["name"]
        }
        path "d" { capabilities = ["update"] denied_parameters = { "*" = [] } }
        path "o" { capabilities = ["update"] allowed_parameters = { "*" = [], x = ["1"] } }
        """
    )
    for data, expected in [
        ({"name": "app-1"}, True), ({"NAME": "app-1", "any": [1]}, True), ({"name": "x"}, False),
        ({"name": "app-1", "n": 1}, True), ({"name": "app-1", "n": True}, False),
        ({"name": "app-1", "other": 1}, False), ({"any": 1}, False), ({}, False),
        ({"name": "app-1", "Name": "x"}, False),
    ]:  # fmt: skip
        assert allows(found, "w", C.UPDATE, data=data) is expected, data
    assert allows(found, "d", C.UPDATE)
    assert not allows(found, "d", C.UPDATE, data={"x": 1})
    assert allows(found, "o", C.UPDATE, data={"y": 5, "x": "1"})
    assert not allows(found, "o", C.UPDATE, data={"x": "2"})
    unknown = ApiAccess(path="w", operation=C.UPDATE)
    assert not found.decide(unknown, 1).allowed, "limits hold for no request that is not known"


def test_wrapping_times_are_held() -> None:
    """A path that asks for wrapping is not served without it; of two limits the lesser counts."""
    text = 'path "a" {{ capabilities = ["read"] min_wrapping_ttl = 2 max_wrapping_ttl = {} }}'
    found = rules(text.format(9), text.format(5))
    for seconds, expected in [(0, False), (1, False), (2, True), (5, True), (6, False)]:
        assert allows(found, "a", wrapping_ttl=seconds * SECOND) is expected


def test_an_expired_path_is_not_there() -> None:
    """The next specific one decides from that instant on, and before it does not."""
    found = rules(
        """
        path "a/x" { capabilities = ["read"] expiration = 100 }
        path "a/*" { capabilities = ["list"] }
        """
    )
    assert allows(found, "a/x", now=100 * SECOND - 1)
    assert not allows(found, "a/x", now=100 * SECOND)
    assert allows(found, "a/x", C.LIST, now=100 * SECOND)
    assert allows(found, "a/x", now=1), "a clock that is set back"


def test_pages_are_bounded() -> None:
    """Who asks for none gets the limit; who asks for more is refused."""
    found = rules('path "a" { capabilities = ["list"] pagination_limit = 5 }')
    for data, expected in [({}, True), ({"limit": "5"}, True), ({"limit": "max"}, True),
                           ({"limit": "6"}, False), ({"limit": "x"}, False)]:  # fmt: skip
        assert allows(found, "a", C.LIST, data=data) is expected
    assert found.decide(ApiAccess(path="a", operation=C.LIST), 1).page_limit == 5


def test_mfa_is_asked_for() -> None:
    """A path with methods is for callers with a second factor."""
    found = rules('path "a" { capabilities = ["read"] mfa_methods = ["totp"] }')
    access = ApiAccess(path="a", operation=C.READ)
    assert not found.decide(access, 1).allowed
    assert found.decide(access, 1, has_mfa=True).allowed


@pytest.mark.parametrize("value", ["/", "*", "+", "a/b", "a*", "a,b", "..", "", "{{x}}"])
def test_a_name_never_becomes_a_pattern(value: str) -> None:
    """CVE class GHSA-59w7-v8rr-pr4p: such an identity gets nothing by the templated path."""
    text = 'path "home/{{identity.entity.name}}/*" { capabilities = ["read"] }'
    assert allows(rules(text, identity__entity__name="ann"), "home/ann/x")
    found = rules(text, identity__entity__name=value)
    assert not any(allows(found, path) for path in ("home/ann/x", f"home/{value}/x", "home/x"))


@pytest.mark.parametrize("value", ["/", "*", "a/b", "a*", "a,b", "..", "{{x}}"])
def test_a_name_is_no_way_around_a_denial(value: str) -> None:
    """A value that cannot be put in denies all that the path could have been."""
    text = """path "home/+/x" { capabilities = ["read"] }
        path "home/{{identity.entity.name}}/*" { capabilities = ["deny"] }
        path "home/*" { capabilities = ["read"] }"""
    assert allows(rules(text, identity__entity__name="ann"), "home/bob/y")
    assert not allows(rules(text, identity__entity__name="ann"), "home/ann/y")
    found = rules(text, identity__entity__name=value)
    assert not any(allows(found, path) for path in ("home/bob/y", "home/ann/y", "home/y"))
    assert allows(rules(text), "home/bob/y")  # nobody of that kind: nothing to deny


def test_sudo_is_required_with_the_verb() -> None:
    """Where the request is for administrators."""
    found = rules(
        'path "a" { capabilities = ["read"] } path "b" { capabilities = ["read","sudo"] }'
    )
    assert not allows(found, "a", needs_sudo=True)
    assert allows(found, "b", needs_sudo=True)


CONTROLLED = """path "a" { capabilities = ["read", "list"]
control_group = { factor "x" { controlled_capabilities = ["read"]
identity { group_names = ["g"]
approvals = 1 } } } }"""


def test_what_a_control_group_controls_is_refused() -> None:
    """Whatever other policies say of the path; the rest of it is as it was."""
    for more in ("", 'path "a" { capabilities = ["read", "update"] }'):
        found = rules(CONTROLLED, more)
        decided = found.decide(ApiAccess(path="a", operation=C.READ), 1)
        assert (decided.allowed, decided.denied, decided.controlled) == (False, True, True)
        assert allows(found, "a", C.LIST)
        assert allows(found, "a", C.UPDATE) == bool(more)
    assert "control group" in found.explain(ApiAccess(path="a", operation=C.READ), 1)
    assert C.READ in found.capabilities("a", 1)  # as `sys/capabilities` tells it in OpenBao


def test_a_control_group_of_sudo_controls_what_takes_it() -> None:
    """A request for administrators, whichever its verb; others of the path are as they were."""
    found = rules(
        CONTROLLED.replace('["read", "list"]', '["read", "update", "sudo"]').replace(
            'controlled_capabilities = ["read"]', 'controlled_capabilities = ["sudo"]'
        )
    )
    for verb in (C.READ, C.UPDATE):
        asked = ApiAccess(path="a", operation=verb, needs_sudo=True)
        decided = found.decide(asked, 1)
        assert (decided.allowed, decided.denied, decided.controlled) == (False, True, True)
        assert "control group" in found.explain(asked, 1)
        assert allows(found, "a", verb)


def test_a_control_group_binds_whoever_came_from_one_it_binds() -> None:
    """What its path allows does not count for them, what it controls does."""
    found = rules(CONTROLLED, 'path "*" { capabilities = ["read"] }', denied_by=("p0",))
    assert found.decide(ApiAccess(path="a", operation=C.READ), 1).controlled
    assert not allows(found, "a", C.LIST)
    assert allows(found, "b")


def test_a_missing_right_is_explained() -> None:
    """By the path that decides, of which policy, and what it lacks."""
    found = rules(
        """path "a" { capabilities = ["read"] }
        path "m" { capabilities = ["read"] mfa_methods = ["x"] }
        path "w" { capabilities = ["update"] required_parameters = ["x"] }"""
    )
    for path, verb, expected in [
        ("b", C.READ, 'no path of a policy in Vault\'s language covers read on "b"'),
        ("a", C.UPDATE, 'p0: a decides about update on "a", with read, not update'),
        ("m", C.READ, "p0: m asks for a second factor (mfa_methods)"),
        ("w", C.UPDATE, "p0: w has limits on parameters, pages or wrapping that do not hold"),
    ]:
        assert found.explain(ApiAccess(path=path, operation=verb), 1) == expected
    sudo = ApiAccess(path="a", operation=C.READ, needs_sudo=True)
    assert found.explain(sudo, 1).endswith("with read, not sudo")
    both = ApiAccess(path="w", operation=C.CREATE)  # a grant for it would not help either
    assert found.explain(both, 1).endswith(
        "not create, and has limits on parameters, pages or wrapping that do not hold"
    )


def test_many_stanzas_of_one_path_are_merged_at_once() -> None:
    """What expires leaves the others; what is merged is not merged again for each request."""
    stanza = 'path "a" {{ capabilities = ["read"] expiration = {} required_parameters = ["p{}"] }}'
    found = rules("\n".join(stanza.format(at, at) for at in range(1, 2_000)))
    access = ApiAccess(path="a", operation=C.READ, parameters=lambda: {"p1999": 1})
    assert not found.decide(access, 1998 * SECOND - 1).allowed
    assert found.decide(access, 1998 * SECOND).allowed
    assert not found.decide(access, 1999 * SECOND).allowed


@pytest.mark.parametrize(
    ("denied", "path", "lifts"),
    [
        ("a/*", "a/b", True), ("a/*", "a/b*", True), ("a/*", "a/*", False), ("a/*", "b/*", False),
        ("a/*", "*", False), ("a/b", "a/b", False), ("a/b", "a/*", False), ("+/b", "a/b", True),
        ("a/+/c", "a/b/c", True), ("a/+/c", "a/*", True), ("a/b/*", "a/+/c", False),
        ("a/{{identity.entity.name}}/*", "a/b/c", True),
        ("a/b/*", "a/{{identity.entity.name}}/c", True),
        ("a/*", "{{identity.entity.name}}/x", True), ("a/x+*", "a/x", False), ("*", "a", True),
        ("a/b", "a/b/", True),
    ],
)  # fmt: skip
def test_a_denial_is_lifted_by_what_is_more_specific(denied: str, path: str, lifts: bool) -> None:
    """Or could be: it errs towards a yes."""
    assert AclDenials([denied]).lifted_by(path) == (denied if lifts else "")
