"""Policies in Vault's language: what each attribute says, and what is refused."""

import json

import pytest

from protocols.instant import HOUR, SECOND
from vault.errors import ValidationError
from vault.model.acl.policy import AclPath, parse_acl_policy


def only(text: str) -> AclPath:
    """The one path of a policy."""
    [path] = parse_acl_policy("p", text).paths
    return path


def test_each_attribute_is_read() -> None:
    """Parameter names in small letters, durations and instants in ns."""
    path = only(
        """path "/secret/data/+/x*" {
          comment = "why"
          capabilities = ["read", "list"]
          allowed_parameters = { "A" = ["x", 1, true], b = [] }
          denied_parameters { C = [] }
          denied_parameters { D = ["y"] }
          required_parameters = ["E"]
          min_wrapping_ttl = "1h"
          max_wrapping_ttl = 7200
          mfa_methods = ["totp"]
          pagination_limit = "5"
          expiration = "2030-01-01T00:00:00Z"
          list_scan_response_keys_filter_path = "{{ .path }}{{ .key }}"
        }"""
    )
    assert path.path == "secret/data/+/x*"
    assert sorted(path.capabilities) == ["list", "read"]
    assert path.allowed_parameters == {"a": ("x", 1, True), "b": ()}
    assert path.denied_parameters == {"c": (), "d": ("y",)}
    assert path.required_parameters == ("e",)
    assert (path.min_wrapping_ttl, path.max_wrapping_ttl) == (HOUR, 2 * HOUR)
    assert (path.needs_mfa, path.pagination_limit) == (True, 5)
    assert path.expires_at == 1_893_456_000 * SECOND
    assert path.list_filter is not None
    assert path.list_filter.path_of("a/", "b") == "a/b"


@pytest.mark.parametrize(
    ("old", "capabilities"),
    [
        ("deny", ["deny"]),
        ("read", ["list", "read"]),
        ("write", ["create", "delete", "list", "read", "update"]),
        ("sudo", ["create", "delete", "list", "read", "sudo", "update"]),
    ],
)
def test_the_old_form_stands_for_capabilities(old: str, capabilities: list[str]) -> None:
    """From before there were any."""
    assert sorted(only(f'path "a" {{ policy = "{old}" }}').capabilities) == capabilities


def test_deny_with_other_capabilities_is_deny_alone() -> None:
    """As in OpenBao."""
    assert only('path "a" { capabilities = ["read", "deny"] }').capabilities == {"deny"}


@pytest.mark.parametrize(
    ("inside", "fault"),
    [
        ('capabilities = ["fly"]', 'invalid capability "fly"'),
        ('capabilities = "read"', "expected a list of strings"),
        ('capabilities = ["read"] capabilities = ["list"]', "capabilities is given twice"),
        ('policy = "fly"', 'invalid policy "fly"'),
        ("foo = 1", "invalid key 'foo'"),
        ('min_wrapping_ttl = "x"', "expected a duration"),
        ("min_wrapping_ttl = -5", "expected a duration"),
        ("min_wrapping_ttl = 5 max_wrapping_ttl = 1", "max_wrapping_ttl cannot be less"),
        ('expiration = "soon"', "invalid expiration time"),
        ("pagination_limit = -1", "pagination_limit is a number"),
        ('allowed_parameters = ["x"]', "expected { name = [values] }"),
        ('allowed_parameters = { "x" = [] "X" = [] }', "x is given twice"),
        ("control_group { }", "requires at least one factor"),
        ("control_group = 1", "expected control_group = { factor … }"),
        ('control_group { ttl = "1h" }', "requires at least one factor"),
        ('control_group { ttl = "soon" factor "x" {} }', "expected a duration"),
        ("control_group { max_ttl = 1 }", "control_group: invalid key 'max_ttl'"),
        ('control_group { factor "x" { } }', "factor x: missing controlled capabilities"),
        (
            'control_group { factor "x" { controlled_capabilities = ["fly"] } }',
            'factor x: invalid capability "fly"',
        ),
        (
            'control_group { factor "x" { controlled_capabilities = ["deny"] } }',
            'factor x: invalid capability "deny"',
        ),
        (
            'control_group { factor "x" { controlled_capabilities = ["read"] } }',
            "factor x: missing required approvals",
        ),
        (
            'control_group { factor "x" { controlled_capabilities = ["read"] identity { } } }',
            "factor x: missing required approvals",
        ),
        (
            (
                'control_group { factor "x" { controlled_capabilities = ["read"] '
                "identity { approvals = true } } }"
            ),
            "factor x: missing required approvals",
        ),
        ('list_scan_response_keys_filter_path = "{{ .path }}{{ .key }}"', "needs the list"),
        (
            'capabilities = ["list"] list_scan_response_keys_filter_path = "{{ .path }}"',
            "same path for two different keys",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(inside: str, fault: str) -> None:
    """Line, column and path are told; nothing counts as if it were not there."""
    with pytest.raises(ValidationError) as caught:
        parse_acl_policy("p", f'path "a" {{\n{inside}\n}}')
    assert fault in caught.value.message
    assert caught.value.message.startswith("failed to parse policy: At ")


@pytest.mark.parametrize(
    "text",
    ['path "a" "b" {}', "path { x = 1 }", 'path = "a"', 'path "a/+*" {}', 'path "{{x" {}',
     'path "x}}" {}', "foo = 1", 'Path "a" {}'],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_refused(text: str) -> None:
    """Labels, wildcards, braces of templates and keys."""
    with pytest.raises(ValidationError):
        parse_acl_policy("p", text)


def test_what_a_control_group_controls() -> None:
    """Of all factors, in both forms of the language; it counts as a denial."""
    identity = 'identity { group_names = ["a"] \n approvals = 1 }'
    factors = "".join(
        f'factor "{name}" {{ controlled_capabilities = ["{name}"] \n {identity} }}\n'
        for name in ("read", "update")
    )
    said = (
        f'capabilities = ["read", "update", "list"] \n control_group = {{ ttl = "1h" {factors} }}'
    )
    found = only(f'path "a" {{ {said} }}')
    assert found.controlled == {"read", "update"}
    assert found.denies
    factor = {"controlled_capabilities": ["read"], "identity": {"approvals": 1}}
    plain = {"path": {"a": {"control_group": {"factor": {"x": factor}}}}}
    assert only(json.dumps(plain)).controlled == {"read"}
    assert parse_acl_policy("p", json.dumps(plain)).denials == {"a": 0}


def test_json_says_the_same() -> None:
    """The other form of the language."""
    text = '{"path": {"a": {"capabilities": ["read"], "allowed_parameters": {"x": ["y"]}}}}'
    assert only(text) == only(
        'path "a" { capabilities = ["read"] allowed_parameters = { x = ["y"] } }'
    )


def test_a_template_that_does_not_end_is_refused_at_once() -> None:
    """However many spaces there are: each is looked at once."""
    spaces = " " * 900
    with pytest.raises(ValidationError, match="unbalanced"):
        parse_acl_policy("p", "\n".join([f'path "{{{{{spaces}" {{}}'] * 200))


@pytest.mark.parametrize(
    "text",
    [
        '{"path": {"a": {"capabilities": ["deny"]}, "a": {"capabilities": ["read"]}}}',
        '{"path": {"a": {"capabilities": ["deny"]}}, "path": {"a": {"capabilities": ["read"]}}}',
    ],
)
def test_a_key_that_comes_twice_in_json_is_not_lost(text: str) -> None:
    """As in HCL: both stanzas count."""
    policy = parse_acl_policy("p", text)
    assert len(policy.paths) == 2
    assert policy.denials == {"a": 0}


def test_an_attribute_that_comes_twice_in_json_is_refused() -> None:
    """Which of them is meant is not for us to say."""
    with pytest.raises(ValidationError, match="given twice"):
        parse_acl_policy("p", '{"path": {"a": {"policy": "deny", "policy": "read"}}}')


def test_of_a_denial_the_last_end_is_reported() -> None:
    """0: it is for good."""
    stanza = 'path "{}" {{ capabilities = ["deny"] expiration = {} }}'
    text = "\n".join(stanza.format(*each) for each in [("a", 5), ("a", 7), ("b", 5), ("b", 0)])
    assert parse_acl_policy("p", text).denials == {"a": 7 * SECOND, "b": 0}
