"""vault.store.query: what a query means."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import ValidationError
from vault.model.records import AccessRow
from vault.store.query import arrange, beyond_prefix, check, matches, storable
from vault.store.table import Query
from vault.store.tables import ACCESS, ROLES, SECRETS, VERSIONS

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@given(TEXT, TEXT)
def test_prefix_is_a_range(prefix: str, text: str) -> None:
    """`prefix <= text < beyond` says exactly that text starts with it, bytewise."""
    beyond = beyond_prefix(prefix)
    within = prefix.encode() <= text.encode()
    within = within and (beyond is None or text.encode() < beyond.encode())
    assert within == text.startswith(prefix)


@pytest.mark.parametrize("last", ["\ud7ff", "\U0010ffff", "a\U0010ffff\U0010ffff", ""])
def test_prefix_at_the_edges(last: str) -> None:
    """The last characters of Unicode, and before the surrogates, have an end too, or need none."""
    beyond = beyond_prefix(last)
    assert (last + "\U0010ffff") < beyond if beyond else last.strip("\U0010ffff") == ""
    if beyond:
        beyond.encode()


@pytest.mark.parametrize(
    ("table", "query"),
    [
        (SECRETS, Query(limit=0)),
        (SECRETS, Query(limit=1001)),
        (VERSIONS, Query(after=("x",))),
        (SECRETS, Query(equals={"tags": "x"})),
        (SECRETS, Query(equals={"mac": "x"})),
        (ROLES, Query(equals={"description": "x"})),
        (SECRETS, Query(prefix=("created_at", "x"))),
        (SECRETS, Query(at_most=("name", 1))),
    ],
)
def test_check_refuses(table: Any, query: Query) -> None:
    """What could not be answered alike everywhere is a fault of the program."""
    with pytest.raises(ValueError, match=r".+"):
        check(table, query)


def test_check_unknown_column() -> None:
    """A column that is none is a fault of the program."""
    with pytest.raises(KeyError):
        check(SECRETS, Query(equals={"nope": 1}))


@pytest.mark.parametrize(
    "query",
    [
        Query(equals={"name": "\ud800"}),
        Query(equals={"created_at": 2**63}),
        Query(prefix=("name", "a\0")),
        Query(after=("\udfff",)),
        Query(at_most=("expires_at", 2**63)),
    ],
)
def test_check_refuses_values(query: Query) -> None:
    """A value that no row can have is a fault of the request."""
    with pytest.raises(ValidationError):
        check(SECRETS, query)


def test_storable() -> None:
    """64 bits, UTF-8, no NUL."""
    assert all(map(storable, ["", "ä😀", 2**63 - 1, -(2**63), True]))
    assert not any(map(storable, ["\0", "\ud800", 2**63, -(2**63) - 1]))


def test_matches_and_arrange() -> None:
    """Conditions, direction, cursor and limit, over rows in any order."""
    rows = [AccessRow(secret_id=name, value_reads=i) for i, name in enumerate("dbaecf")]
    assert [r.secret_id for r in arrange(ACCESS, Query(limit=3), rows)] == ["a", "b", "c"]
    down = Query(after=("d",), descending=True)
    assert [r.secret_id for r in arrange(ACCESS, down, rows)] == ["c", "b", "a"]
    assert [r.secret_id for r in arrange(ACCESS, Query(after=("d",)), rows)] == ["e", "f"]
    few = Query(at_most=("value_reads", 2))
    assert [r.secret_id for r in arrange(ACCESS, few, rows)] == ["a", "b"]
    assert not matches(ACCESS, Query(equals={"secret_id": "x"}), rows[0])
    assert matches(ACCESS, Query(prefix=("secret_id", "d")), rows[0])
