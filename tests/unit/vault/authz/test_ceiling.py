"""The ceiling: a bundle takes away freely and gives only what the owner allows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vault.authz.access import AccessRequest
from vault.authz.ceiling import NO_CEILING, compile_ceiling, count_narrowed, read_ceiling
from vault.authz.compile import RuleSet, can_reach, compile_policies
from vault.authz.evaluate import OVER, evaluate, explain
from vault.authz.policy import Policy, validate_policy
from vault.errors import UnavailableError


def rule(effect: str, path: str, *capabilities: str, **more: Any) -> dict[str, Any]:
    """A rule of one path; `read` unless told."""
    return {
        "effect": effect,
        "paths": [path],
        "capabilities": list(capabilities or ["read"]),
        **more,
    }


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    """A policy `p` of these rules."""
    return validate_policy({"name": "p", "rules": list(rules), **more})


def under(ceiling: Policy, *rules: dict[str, Any], local: tuple[Policy, ...] = ()) -> RuleSet:
    """A bundle's policy of these rules, held down by the ceiling, beside local ones."""
    return compile_policies(local, bundle=[policy(*rules)], ceiling=compile_ceiling(ceiling))


def test_a_bundle_grants_nothing_without_a_ceiling(
    make_access: Callable[..., AccessRequest],
) -> None:
    """The default: allow rules of a control plane do not count, denials do."""
    rules = under(NO_CEILING, rule("allow", "secret/*"))
    assert not evaluate(rules, (), make_access(path="secret/a")).allowed
    local = policy(rule("allow", "secret/*"))
    rules = under(NO_CEILING, rule("deny", "secret/prod/*"), local=(local,))
    assert evaluate(rules, (), make_access(path="secret/a")).allowed
    refused = evaluate(rules, (), make_access(path="secret/prod/a"))
    assert (refused.allowed, refused.rule) == (False, "fleet:p/rules[0]")


@pytest.mark.parametrize(
    ("path", "capability", "allowed"),
    [
        ("secret/app/a", "read", True),
        ("secret/app/a", "destroy", False),
        ("secret/other", "read", False),
        ("secret/app/root/a", "read", False),
        ("sys/policies/p", "read", False),
    ],
)
def test_a_grant_counts_within_the_ceiling_only(
    make_access: Callable[..., AccessRequest], path: str, capability: str, *, allowed: bool
) -> None:
    """Everything that the bundle allows is met with what the ceiling allows; its denials win."""
    ceiling = policy(rule("allow", "secret/app/*"), rule("deny", "secret/app/root/*"))
    rules = under(ceiling, rule("allow", "*", "*"))
    asked = make_access(capability, path)
    assert evaluate(rules, (), asked).allowed is allowed


def test_the_ceiling_does_not_touch_local_policies(
    make_access: Callable[..., AccessRequest],
) -> None:
    """What the owner's own policies allow stays allowed, whatever the ceiling leaves out."""
    ceiling = policy(rule("deny", "*", "*"))
    rules = under(ceiling, local=(policy(rule("allow", "secret/*")),))
    assert evaluate(rules, (), make_access(path="secret/a")).allowed


def test_a_cut_grant_says_so_and_shows_no_folder(make_access: Callable[..., AccessRequest]) -> None:
    """A dry run names the ceiling; a listing does not show what lies above it."""
    ceiling = policy(rule("allow", "secret/app/*"))
    rules = under(ceiling, rule("allow", "*", "*"))
    told = explain(rules, (), make_access(path="secret/other"))
    assert told.missing == (f"fleet:p/rules[0]: {OVER}",)
    assert "control_plane.ceiling" in OVER
    assert can_reach(rules, (), "secret/app/")
    assert not can_reach(rules, (), "other/")


@pytest.mark.parametrize(
    ("wanted", "cut"),
    [
        (rule("allow", "secret/app/a"), 0),
        (rule("allow", "secret/app/b/*", "read", "list"), 0),
        (rule("allow", "secret/app/*"), 1),
        (rule("allow", "secret/+/a"), 1),
        (rule("allow", "secret/*"), 1),
        (rule("allow", "secret/app/*", "read", "destroy"), 1),
        (rule("allow", "secret/app/*", "*"), 1),
        (rule("allow", "secret/app/root/a"), 1),
        (rule("allow", "secret/app/+/a"), 1),
        (rule("deny", "*", "*"), 0),
    ],
)
def test_narrowed_counts_what_is_not_surely_inside(wanted: dict[str, Any], cut: int) -> None:
    """Only allow rules are cut, and a rule counts as whole only when it certainly is."""
    ceiling = policy(
        rule("allow", "secret/app/*", "read", "list"), rule("deny", "secret/app/root/*")
    )
    assert count_narrowed(ceiling, [policy(wanted)]) == cut


def test_a_conditional_or_disabled_ceiling_cuts(make_access: Callable[..., AccessRequest]) -> None:
    """What holds at times only is told as a cut; a disabled ceiling allows nothing."""
    networks = [{"type": "source_network", "networks": ["10.0.0.0/8"]}]
    wanted = policy(rule("allow", "secret/app/a"))
    held = policy(rule("allow", "secret/*", conditions=networks))
    assert count_narrowed(held, [wanted]) == 1
    off = policy(rule("allow", "secret/*"), enabled=False)
    assert count_narrowed(off, [wanted]) == 1
    rules = under(off, rule("allow", "secret/*"))
    assert not evaluate(rules, (), make_access(path="secret/a")).allowed


def test_a_ceiling_is_read_from_a_file(tmp_path: Path) -> None:
    """A policy document without a name; what is none keeps the agent from starting."""
    file = tmp_path / "ceiling.json"
    file.write_bytes(msgspec.json.encode({"rules": [rule("allow", "secret/*")]}))
    assert read_ceiling(file).rules[0].paths == ("secret/*",)
    assert read_ceiling(None) is NO_CEILING
    for content in (b"no json", b"[]", b'{"rules": [{"effect": "allow"}]}', b'{"acl": "#"}'):
        file.write_bytes(content)
        with pytest.raises(UnavailableError, match=r"ceiling\.json"):
            read_ceiling(file)
    with pytest.raises(UnavailableError):
        read_ceiling(tmp_path / "none")
