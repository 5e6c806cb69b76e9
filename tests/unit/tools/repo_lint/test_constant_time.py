from collections.abc import Callable

import pytest

from tools.repo_lint.constant_time import check
from tools.repo_lint.repository import RepoTree

Plant = Callable[[dict[str, str]], RepoTree]


@pytest.mark.parametrize(
    "text",
    [
        "row.mac == expected",
        "expected != row.mac",
        "stored.key_hash == other",
        "digest(x) == y",
        "secret[0] == y",
        "a < b == token",
    ],
)
def test_a_secret_is_not_compared_with_equals(plant: Plant, text: str) -> None:
    """Whichever side, attribute, call or element it is."""
    assert [found.line for found in check(plant({"vault/a.py": f"\n{text}\n"}))] == [2]


@pytest.mark.parametrize(
    "text",
    [
        'row.mac == b""',
        "secret_id == other",
        "caller.credential == row.id",
        "compare_digest(row.mac, expected)",
        "kind == Kind.TOKEN",
        "root.hash == other  # not secret: a Merkle root is published",
        "token is None",
    ],
)
def test_what_tells_an_attacker_nothing_is_allowed(plant: Plant, text: str) -> None:
    """Constants, identifiers, enumerations, and what is said to be public."""
    assert not list(check(plant({"vault/a.py": f"{text}\n"})))
