"""vault.store.query: what a query means."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vault.errors import ValidationError
from vault.model.records import AccessRow
from vault.store.query import (
    apply_query,
    can_answer,
    check_query,
    end_of_prefix,
    is_storable,
    matches_query,
)
from vault.store.table import StoreQuery
from vault.store.tables import ACCESS, ROLES, SECRETS, VERSIONS

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@given(TEXT, TEXT)
def test_prefix_is_a_range(prefix: str, text: str) -> None:
    """`prefix <= text < beyond` says exactly that text starts with it, bytewise."""
    beyond = end_of_prefix(prefix)
    within = prefix.encode() <= text.encode()
    within = within and (beyond is None or text.encode() < beyond.encode())
    assert within == text.startswith(prefix)


@pytest.mark.parametrize("last", ["\ud7ff", "\U0010ffff", "a\U0010ffff\U0010ffff", ""])
def test_prefix_at_the_edges(last: str) -> None:
    """The last characters of Unicode, and before the surrogates, have an end too, or need none."""
    beyond = end_of_prefix(last)
    assert (last + "\U0010ffff") < beyond if beyond else last.strip("\U0010ffff") == ""
    if beyond:
        beyond.encode()


@pytest.mark.parametrize(
    ("table", "query"),
    [
        (SECRETS, StoreQuery(limit=0)),
        (SECRETS, StoreQuery(limit=1001)),
        (VERSIONS, StoreQuery(after=("x",))),
        (SECRETS, StoreQuery(equals={"tags": "x"})),
        (SECRETS, StoreQuery(equals={"mac": "x"})),
        (ROLES, StoreQuery(equals={"description": "x"})),
        (SECRETS, StoreQuery(prefix=("created_at", "x"))),
        (SECRETS, StoreQuery(at_most=("name", 1))),
        (SECRETS, StoreQuery(smallest_first=True)),
        (SECRETS, StoreQuery(at_most=("expires_at", 1), smallest_first=True, after=("a",))),
    ],
)
def test_check_refuses(table: Any, query: StoreQuery) -> None:
    """What could not be answered alike everywhere is a fault of the program."""
    with pytest.raises(ValueError, match=r".+"):
        check_query(table, query)


def test_check_unknown_column() -> None:
    """A column that is none is a fault of the program."""
    with pytest.raises(KeyError):
        check_query(SECRETS, StoreQuery(equals={"nope": 1}))


@pytest.mark.parametrize(
    "query",
    [
        StoreQuery(equals={"name": "\ud800"}),
        StoreQuery(equals={"created_at": 2**63}),
        StoreQuery(prefix=("name", "a\0")),
        StoreQuery(after=("\udfff",)),
        StoreQuery(at_most=("expires_at", 2**63)),
    ],
)
def test_check_refuses_values(query: StoreQuery) -> None:
    """A value that no row can have is a fault of the request."""
    with pytest.raises(ValidationError):
        check_query(SECRETS, query)


def test_storable() -> None:
    """64 bits, UTF-8, no NUL."""
    assert all(map(is_storable, ["", "ä😀", 2**63 - 1, -(2**63), True]))
    assert not any(map(is_storable, ["\0", "\ud800", 2**63, -(2**63) - 1]))


def test_matches_and_arrange() -> None:
    """Conditions, direction, cursor and limit, over rows in any order."""
    rows = [AccessRow(secret_id=name, value_reads=i) for i, name in enumerate("dbaecf")]
    assert [r.secret_id for r in apply_query(ACCESS, StoreQuery(limit=3), rows)] == ["a", "b", "c"]
    down = StoreQuery(after=("d",), descending=True)
    assert [r.secret_id for r in apply_query(ACCESS, down, rows)] == ["c", "b", "a"]
    assert [r.secret_id for r in apply_query(ACCESS, StoreQuery(after=("d",)), rows)] == ["e", "f"]
    few = StoreQuery(at_most=("value_reads", 2))
    assert [r.secret_id for r in apply_query(ACCESS, few, rows)] == ["a", "b"]
    first = StoreQuery(at_most=("value_reads", 9), smallest_first=True, limit=2)
    assert [r.secret_id for r in apply_query(ACCESS, first, rows)] == ["b", "a"]
    behind = replace(first, after=(2, "a"))
    assert [r.secret_id for r in apply_query(ACCESS, behind, rows)] == ["e", "c"]
    assert can_answer(ACCESS, first, [("b",), ("a",)], [rows[1], rows[2]])
    assert not can_answer(ACCESS, first, [("a",), ("b",)], [rows[2], rows[1]])
    assert not can_answer(ACCESS, behind, [("a",)], [rows[2]])
    assert not matches_query(ACCESS, StoreQuery(equals={"secret_id": "x"}), rows[0])
    assert matches_query(ACCESS, StoreQuery(prefix=("secret_id", "d")), rows[0])
