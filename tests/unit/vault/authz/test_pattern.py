"""Path patterns: what each covers, and what is refused."""

import pytest

from vault.authz.pattern import parse_pattern
from vault.errors import ValidationError


@pytest.mark.parametrize(
    ("pattern", "covered", "not_covered"),
    [
        ("secret/app", ["secret/app"], ["secret/app/", "secret/app/x", "secret/ap", "secret/App"]),
        ("secret/app/*", ["secret/app/x", "secret/app/x/y", "secret/app/"], ["secret/app"]),
        ("secret/app-*", ["secret/app-", "secret/app-1/x"], ["secret/app", "secret/app/1"]),
        ("*", ["secret", "sys/policies/x", ""], []),
        (
            "secret/+/db",
            ["secret/a/db", "secret/+/db"],
            ["secret/db", "secret/a/b/db", "secret//db"],
        ),
        ("secret/+/*", ["secret/a/b", "secret/a/b/c", "secret/a/"], ["secret/a", "secret//b"]),
        ("secret/+", ["secret/a"], ["secret/", "secret/a/b", "secret"]),
        ("+/app/d*", ["kv/app/db", "kv/app/d/x"], ["kv/app/x", "app/db"]),
        ("secret/+*", ["secret/+x"], ["secret/x"]),
        ("secret/c++", ["secret/c++"], ["secret/cxx"]),
    ],
)
def test_coverage(pattern: str, covered: list[str], not_covered: list[str]) -> None:
    """A literal is itself, `*` an open end, `+` exactly one non-empty segment."""
    parsed = parse_pattern(pattern, "paths")
    assert [path for path in covered if not parsed.matches(path)] == []
    assert [path for path in not_covered if parsed.matches(path)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "/secret",
        "secret/",
        "secret//x",
        "secret/../x",
        "secret/./*",
        "secret/*/x",
        "secret/**",
        "secret/%2fx",
        "secret/x\0",
        "secret/ x",
        "secret/e\u0301",
        "secret/{{identity.name}}/*",
        "a/" * 40 + "*",
        "x" * 600,
    ],
)
def test_refused(pattern: str) -> None:
    """A pattern that could be read in two ways, or that covers nothing, is refused by field."""
    with pytest.raises(ValidationError) as caught:
        parse_pattern(pattern, "rules[1].paths[0]")
    assert caught.value.details["field"] == "rules[1].paths[0]"
