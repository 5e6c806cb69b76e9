"""What protocols.live.collection promises."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from protocols.live.collection import LiveCollection
from protocols.live.limits import SNAPSHOT_ROWS


def filled(rows: dict[str, dict[str, Any]]) -> LiveCollection:
    """A collection that has these."""
    collection = LiveCollection()
    collection.replace_rows(rows)
    return collection


def taken(collection: LiveCollection) -> Any:
    """What has changed."""
    body = collection.take_changes()
    return None if body is None else json.loads(body)


def test_only_changed_columns_are_told() -> None:
    """And those of several changes as one."""
    collection = filled({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}})
    collection.put_row("a", {"x": 1, "y": 3})
    collection.merge_columns("a", {"x": 5})
    collection.merge_columns("b", {"x": 1})
    assert taken(collection) == {"a": {"x": 5, "y": 3}}
    assert taken(collection) is None


def test_a_new_row_is_told_whole_and_a_dropped_one_as_null() -> None:
    """Dropping what is not there is nothing."""
    collection = filled({"a": {"x": 1}})
    collection.put_row("b", {"x": 2})
    collection.remove_row("a")
    collection.remove_row("c")
    assert taken(collection) == {"a": None, "b": {"x": 2}}


def test_a_column_that_is_gone_becomes_null() -> None:
    """The browser lays what it gets over what it has."""
    collection = filled({"a": {"x": 1, "y": 2}})
    collection.put_row("a", {"x": 1})
    assert taken(collection) == {"a": {"y": None}}


def test_what_is_filled_first_is_a_snapshot_and_no_change() -> None:
    """Nobody has seen anything before."""
    collection = LiveCollection()
    assert not collection.ready
    collection.replace_rows({"a": {"x": 1}})
    assert collection.ready
    assert taken(collection) is None
    collection.replace_rows({"b": {"x": 1}})
    assert taken(collection) == {"a": None, "b": {"x": 1}}


def test_snapshots_come_in_pieces_and_an_empty_one_is_one() -> None:
    """All rows, each once."""
    rows = {f"v{n}": {"x": n} for n in range(2 * SNAPSHOT_ROWS + 1)}
    pieces = [json.loads(piece) for piece in filled(rows).snapshot_pages()]
    assert [len(piece) for piece in pieces] == [SNAPSHOT_ROWS, SNAPSHOT_ROWS, 1]
    assert {key: row for piece in pieces for key, row in piece.items()} == rows
    assert filled({}).snapshot_pages() == ("{}",)


def test_a_snapshot_is_made_once_for_all_who_come_together() -> None:
    """Until the next changes were told."""
    collection = filled({"a": {"x": 1}})
    first = collection.snapshot_pages()
    collection.merge_columns("a", {"x": 2})
    assert collection.snapshot_pages() is first
    collection.take_changes()
    assert collection.snapshot_pages() is not first


Steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "merge", "drop", "take", "late"]),
        st.sampled_from("abc"),
        st.fixed_dictionaries({"x": st.integers(0, 2), "y": st.integers(0, 2)}),
    ),
    max_size=30,
)


@given(Steps)
def test_snapshot_and_changes_lead_to_what_is(steps: Any) -> None:
    """Whenever somebody comes, and whatever changes in between."""
    collection = filled({"a": {"x": 0, "y": 0}})
    seen: list[dict[str, Any]] = [json.loads(collection.snapshot_pages()[0])]
    for step, key, row in steps:
        if step == "put":
            collection.put_row(key, row)
        elif step == "merge" and key in collection:
            collection.merge_columns(key, {"x": row["x"]})
        elif step == "drop":
            collection.remove_row(key)
        elif step == "late":
            seen.append(json.loads(collection.snapshot_pages()[0]))
        elif step == "take":
            tell(seen, taken(collection))
    tell(seen, taken(collection))
    for view in seen:
        assert view == {key: collection.get(key) for key in collection.keys()}  # noqa: SIM118


def tell(views: list[dict[str, Any]], changes: dict[str, Any] | None) -> None:
    """As a browser does it."""
    for view in views:
        for key, columns in (changes or {}).items():
            if columns is None:
                view.pop(key, None)
            else:
                view[key] = view.get(key, {}) | columns
