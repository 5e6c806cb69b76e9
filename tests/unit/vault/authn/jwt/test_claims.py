"""Each registered claim missing or wrong is a refusal; bound claims, pointers and globs."""

from typing import Any

import pytest

from tests.support.identity_source import GONE
from vault.authn.jwt.claims import (
    BoundClaims,
    ExpectedClaims,
    check_bound_claims,
    check_claims,
    claim_text,
    claim_texts,
    find_claim,
    map_claims,
)
from vault.authn.jwt.compact import InvalidTokenError

NOW = 1_800_000_000
EXPECTED = ExpectedClaims(
    issuer="https://idp.example", audiences=("app", "other"), subject="u-1", leeway=60
)
CLAIMS: dict[str, Any] = {
    "iss": "https://idp.example",
    "aud": "app",
    "sub": "u-1",
    "exp": NOW + 300,
    "nbf": NOW - 5,
    "iat": NOW - 5,
}


def claims(**changed: object) -> dict[str, Any]:
    """Valid but for what is changed."""
    return {name: value for name, value in {**CLAIMS, **changed}.items() if value is not GONE}


@pytest.mark.parametrize(
    "changed",
    [
        {}, {"aud": ["x", "other"]}, {"nbf": GONE}, {"iat": GONE}, {"exp": NOW - 59},
        {"nbf": NOW + 60, "iat": NOW + 60}, {"exp": NOW + 0.5},
    ],
)  # fmt: skip
def test_accepted(changed: dict[str, Any]) -> None:
    """Within the leeway; a beginning by `nbf` or `iat`."""
    assert check_claims(claims(**changed), EXPECTED, NOW) == int(claims(**changed)["exp"])


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": GONE}, {"iss": "https://idp.example/"}, {"iss": None},
        {"iss": ["https://idp.example"]}, {"aud": GONE}, {"aud": "App"}, {"aud": []},
        {"aud": None}, {"aud": [5, "app"]}, {"aud": {"app": 1}},
        {"sub": GONE}, {"sub": "U-1"}, {"sub": 5}, {"sub": ""},
        {"exp": GONE}, {"exp": None}, {"exp": "1900000000"}, {"exp": True}, {"exp": NOW - 60},
        {"exp": 1e300}, {"exp": -1}, {"exp": 1 << 70},
        {"nbf": NOW + 61}, {"nbf": "x"}, {"iat": NOW + 61}, {"iat": None, "nbf": GONE},
        {"nbf": GONE, "iat": GONE},
    ],
)  # fmt: skip
def test_refused(changed: dict[str, Any]) -> None:
    """Missing, wrong, of another type, outside of the leeway by a second."""
    with pytest.raises(InvalidTokenError):
        check_claims(claims(**changed), EXPECTED, NOW)


def test_a_role_without_audiences_takes_no_token_that_has_one() -> None:
    """Nobody said whom it may be for: a token for another program is no token for this one."""
    anybody = ExpectedClaims(issuer="https://idp.example")
    check_claims(claims(aud=GONE), anybody, NOW)
    with pytest.raises(InvalidTokenError):
        check_claims(claims(), anybody, NOW)


def test_lifetime() -> None:
    """From its beginning to its end."""
    expected = ExpectedClaims(audiences=("app",), lifetime=305)
    check_claims(claims(), expected, NOW)
    with pytest.raises(InvalidTokenError):
        check_claims(claims(exp=NOW + 301), expected, NOW)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sub", "a"), ("x", {"y": [{"z/~": 1}]}), ("/x/y/0/z~1~0", 1), ("/sub", "a"),
        ("/x/y/1", None), ("/x/y/-1", None), ("/x/y/00000", None), ("/x/q", None),
        ("/sub/a", None), ("x.y", None), ("", None), ("/", None),
    ],
)  # fmt: skip
def test_pointers(name: str, found: object) -> None:
    """RFC 6901 where the name begins with a slash."""
    assert find_claim({"sub": "a", "x": {"y": [{"z/~": 1}]}}, name) == found


@pytest.mark.parametrize(
    ("values", "globs", "said", "accepted"),
    [
        ({"a": ("x", "y")}, False, {"a": "y"}, True),
        ({"a": ("x",)}, False, {"a": ["q", "x"]}, True),
        ({"a": ("x",), "b": ("y",)}, False, {"a": "x"}, False),
        ({"a": ("x",)}, False, {"a": "X"}, False),
        ({"a": (1,)}, False, {"a": 1}, True),
        ({"a": (1,)}, False, {"a": True}, False),
        ({"a": ("x*",)}, False, {"a": "xy"}, False),
        ({"a": ("x*",)}, True, {"a": "xy"}, True),
        ({"a": ("x*z",)}, True, {"a": "xyz\n"}, False),
        ({"a": ("[ab]?",)}, True, {"a": "aa"}, False),
        ({"a": ("[ab]?",)}, True, {"a": "[ab]?"}, True),
        ({"a": ("*",)}, True, {"a": 5}, False),
        ({"a": ("x",)}, False, {"a": None}, False),
        ({"/a/b": ("x",)}, False, {"a": {"b": "x"}}, True),
    ],
)
def test_bound_claims(
    values: dict[str, tuple[Any, ...]], globs: bool, said: dict[str, Any], accepted: bool
) -> None:
    """All of them, by one of their values each."""
    bound = BoundClaims(values=values, globs=globs)
    if accepted:
        check_bound_claims(said, bound)
    else:
        with pytest.raises(InvalidTokenError):
            check_bound_claims(said, bound)


def test_holder_groups_and_metadata() -> None:
    """Texts, lists of texts up to a bound; what is missing is left out of the metadata alone."""
    said = {"sub": "a", "/odd": "b", "g": ["x", "y", "x"], "one": "z", "bad": ["x", 5], "n": 5}
    assert claim_text(said, "sub") == "a"
    assert claim_text(said, "/odd", pointer=False) == "b"
    assert claim_texts(said, "g", 3) == ("x", "y")
    assert claim_texts(said, "one", 3) == ("z",)
    assert map_claims(said, {"sub": "who", "absent": "x"}) == {"who": "a"}
    for name in ("n", "absent", "g"):
        with pytest.raises(InvalidTokenError):
            claim_text(said, name)
    for name in ("bad", "absent"):
        with pytest.raises(InvalidTokenError):
            claim_texts(said, name, 3)
    with pytest.raises(InvalidTokenError):
        claim_texts(said, "g", 2)
    with pytest.raises(InvalidTokenError):
        map_claims(said, {"n": "x"})
