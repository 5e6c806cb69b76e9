"""What a query means: the same on every database, and over rows that are not yet in one."""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from operator import attrgetter, gt, itemgetter, lt
from typing import Any, Final, TypeVar

from msgspec import Struct

from vault.errors import ValidationError
from vault.store.table import (
    INTEGER_MAX,
    INTEGER_MIN,
    MAX_LIMIT,
    ColumnKind,
    Key,
    StoreQuery,
    Table,
)

R = TypeVar("R", bound=Struct)

_LAST_CHARACTER: Final = "\U0010ffff"
_SURROGATES: Final = range(0xD800, 0xE000)  # code points that UTF-8 does not have


def check_query(table: Table[Any], query: StoreQuery) -> None:
    """Raise `ValueError` unless the query can be asked of this table: a fault of the program.

    Raises `ValidationError` for a value that no database could hold: a fault of the request.
    """
    if not 1 <= query.limit <= MAX_LIMIT:
        raise ValueError(f"a limit is from 1 to {MAX_LIMIT}")
    if query.after is not None and len(query.after) != len(query.order(table)):
        raise ValueError(f"{table.name}: `after` is not a place in the order")
    if query.smallest_first and query.at_most is None:
        raise ValueError(f"{table.name}: no column to order by")
    for name in query.equals:
        if table.kinds[name] in {ColumnKind.TEXT, ColumnKind.BLOB, ColumnKind.JSON}:
            raise ValueError(f"{table.name}.{name} cannot be compared")
    if query.prefix is not None and table.kinds[query.prefix[0]] is not ColumnKind.NAME:
        raise ValueError(f"{table.name}.{query.prefix[0]} has no prefixes")
    if query.at_most is not None and table.kinds[query.at_most[0]] is not ColumnKind.INTEGER:
        raise ValueError(f"{table.name}.{query.at_most[0]} is not an integer")
    values = [*query.equals.values(), *(query.prefix or ())[1:], *(query.after or ())]
    if not all(is_storable(value) for value in [*values, *(query.at_most or ())[1:]]):
        raise ValidationError("query_invalid", f"{table.name}: no row can have this value")


def is_storable(value: object) -> bool:
    """Whether a database could hold the value: 64 bits, or UTF-8 without NUL."""
    if isinstance(value, int):
        return INTEGER_MIN <= value <= INTEGER_MAX
    if not isinstance(value, str):  # a damaged cell, as it was found
        return True
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def matches_query(table: Table[Any], query: StoreQuery, row: Struct) -> bool:
    """Whether the row is one of the query's, the limit aside."""
    if any(getattr(row, name) != value for name, value in query.equals.items()):
        return False
    if query.prefix is not None and not getattr(row, query.prefix[0]).startswith(query.prefix[1]):
        return False
    if query.at_most is not None:
        value = getattr(row, query.at_most[0])
        if not 0 < value <= query.at_most[1]:
            return False
    if query.after is None:
        return True
    # Python orders text by code point, which is the order of its UTF-8 bytes.
    place = place_of(table, query, row)
    return place < query.after if query.descending else place > query.after


def place_of(table: Table[Any], query: StoreQuery, row: Struct) -> Key:
    """Where the row is in the query's order: what `after` is of a query that goes on behind it."""
    return tuple(getattr(row, name) for name in query.order(table))


def can_answer(
    table: Table[Any], query: StoreQuery, keys: Sequence[Key], rows: Sequence[Struct]
) -> bool:
    """Whether these rows, which have these keys, can be the answer to the query.

    Each is one of the query's, they are in its order, and no more than its limit. Says nothing of
    rows that are missing. No `rows` are needed for a query of the key alone (`asks_key_alone`).
    """

    def column(name: str) -> Iterable[Any]:
        if name in table.key:
            return map(itemgetter(table.key.index(name)), keys)
        return map(attrgetter(name), rows)

    try:
        follows = gt if query.descending else lt
        places = [*zip(*map(column, query.order(table)), strict=True)]
        if len(keys) > query.limit or not all(map(follows, places, islice(places, 1, None))):
            return False
        if query.after is not None and places and not follows(query.after, places[0]):
            return False
        if any(not {*column(name)} <= {value} for name, value in query.equals.items()):
            return False
        if query.prefix is not None:
            name, begin = query.prefix
            if not all(text.startswith(begin) for text in column(name)):
                return False
        if query.at_most is not None:
            name, most = query.at_most
            return all(0 < number <= most for number in column(name))
    except (TypeError, AttributeError):  # a cell of another type than its column
        return False
    return True


def asks_key_alone(table: Table[Any], query: StoreQuery) -> bool:
    """Whether the key says that a row is one of the query's."""
    names = {*query.equals, *(query.prefix or ())[:1], *(query.at_most or ())[:1]}
    return names <= {*table.key}


def apply_query(table: Table[R], query: StoreQuery, rows: list[R]) -> list[R]:
    """The matching rows among these, in the query's order, at most its limit."""
    found = [row for row in rows if matches_query(table, query, row)]
    found.sort(key=partial(place_of, table, query), reverse=query.descending)
    return list(islice(found, query.limit))


def end_of_prefix(text: str) -> str | None:
    """The first text that sorts behind all that start with `text`; None if there is none.

    So a prefix is a range, `text <= column < beyond`, which every database answers from an index
    and none folds, pads or escapes as it does the pattern of LIKE.
    """
    head = text.rstrip(_LAST_CHARACTER)
    if not head:
        return None
    following = ord(head[-1]) + 1
    if following in _SURROGATES:
        following = _SURROGATES.stop
    return head[:-1] + chr(following)
