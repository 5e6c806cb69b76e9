"""Tests of reach: whether somebody may do anything at all below a folder."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.authz.compile import can_reach, compile_permissions, compile_policies
from vault.authz.folder_reach import FolderReach, pattern_meets_folder
from vault.authz.pattern import parse_pattern
from vault.authz.policy import Effect, Policy, Rule
from vault.errors import ValidationError
from vault.model.identity import Permission


@pytest.mark.parametrize(
    ("pattern", "met"),
    [
        ("secret/app/db", True),
        ("secret/app/*", True),
        ("secret/*", True),
        ("sec*", True),
        ("*", True),
        ("secret/+/x", True),
        ("+/app", True),
        ("+/+", True),
        ("secret", False),
        ("secrets/*", False),
        ("other/*", False),
        ("other/+/x", False),
    ],
)
def test_patterns_and_a_mount(pattern: str, met: bool) -> None:  # a parameter of the table
    """A pattern meets the folder when some path below it is covered."""
    assert pattern_meets_folder(parse_pattern(pattern, "paths"), "secret/") is met


@pytest.mark.parametrize(
    ("pattern", "met"),
    [
        ("team/blue/x", True),
        ("team/*", True),
        ("team/b*", True),
        ("team/+/x", True),
        ("+/blue/*", True),
        ("team/+", False),
        ("team/blue", False),
        ("team/r*", False),
        ("team/red/*", False),
        ("+/red/*", False),
    ],
)
def test_patterns_and_a_deeper_mount(pattern: str, met: bool) -> None:
    """A pattern that ends above the folder covers nothing below it, unless its end is open."""
    assert pattern_meets_folder(parse_pattern(pattern, "paths"), "team/blue/") is met


PIECES = st.sampled_from(["a", "ab", "b", "+", "", "sys"])
TEXTS = st.builds(
    lambda parts, end: "/".join(parts) + end, st.lists(PIECES, min_size=1, max_size=4),
    st.sampled_from(["", "*", "/*"]),
)  # fmt: skip
FOLDERS = st.lists(st.sampled_from(["a", "ab", "b", "abc", "sys"]), max_size=3).map(
    lambda parts: "".join(f"{part}/" for part in parts)
)


@given(st.lists(TEXTS, max_size=6), FOLDERS)
def test_filed_patterns_meet_what_each_does(texts: list[str], folder: str) -> None:
    """Whatever they are: filing is for speed."""
    patterns = []
    for text in texts:
        with suppress(ValidationError):
            patterns.append(parse_pattern(text, "paths"))
    assert FolderReach(patterns).meets_folder(folder) is any(
        pattern_meets_folder(pattern, folder) for pattern in patterns
    )


def policy(effect: Effect, *paths: str) -> Policy:
    """A policy of one rule."""
    return Policy(name="p", rules=(Rule(effect=effect, paths=paths, capabilities=("read",)),))


def test_only_allowances_reach() -> None:
    """A denial shows no mount; nothing shows none; root shows all."""
    assert can_reach(compile_policies([policy(Effect.ALLOW, "secret/a")]), (), "secret/")
    assert not can_reach(compile_policies([policy(Effect.DENY, "secret/a")]), (), "secret/")
    assert not can_reach(compile_policies([]), (), "secret/")
    assert can_reach(compile_policies([], root=True), (), "secret/")


def test_a_key_reaches_as_far_as_its_permissions() -> None:
    """Even root's key."""
    grants = compile_permissions([Permission(capabilities=("read",), paths=("secret/a/*",))])
    root = compile_policies([], root=True)
    assert can_reach(root, grants, "secret/")
    assert not can_reach(root, grants, "other/")
