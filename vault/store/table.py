"""A table: which struct its rows are, what their key is, and how they are searched for."""

from collections.abc import Callable, Mapping
from enum import Enum
from operator import attrgetter
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

import msgspec
from msgspec import UNSET, Struct

from vault.errors import ValidationError

R = TypeVar("R", bound=Struct)
Key: TypeAlias = tuple[str | int, ...]

NAME_BYTES: Final = (
    512  # of UTF-8: `vault.model.path.MAX_BYTES`, and a key column on every database
)
TEXT_BYTES: Final = 65_536  # prose (descriptions); far below MySQL's MEDIUMTEXT of 16 MiB
ROW_BYTES: Final = 8 * 2**20  # half of MariaDB's default max_allowed_packet (16 MiB)
MAX_LIMIT: Final = 1000  # rows of one answer; a longer list is read page by page with `after`
INTEGER_MIN: Final = -(2**63)  # BIGINT, the widest integer that every database has
INTEGER_MAX: Final = 2**63 - 1
_PLAIN: Final = frozenset({str})
_encode: Final = msgspec.msgpack.Encoder().encode
_MAC: Final = _encode("mac")


def plain_key(key: Key) -> Key:
    """The key with `str` and `int` themselves in place of their subclasses, such as a path.

    They are equal, but msgpack and the database drivers know the plain types only.
    """
    return tuple([str(part) if isinstance(part, str) else int(part) for part in key])


class ColumnKind(Enum):
    """What a column holds; `vault.store.columns` says which SQL type that is."""

    NAME = "name"  # text of at most NAME_BYTES, compared and ordered bytewise
    TEXT = "text"  # longer text, never compared
    INTEGER = "integer"
    BOOLEAN = "boolean"
    BLOB = "blob"
    JSON = "json"


_KINDS: Final[Mapping[object, ColumnKind]] = {
    str: ColumnKind.NAME,
    int: ColumnKind.INTEGER,
    bool: ColumnKind.BOOLEAN,
    bytes: ColumnKind.BLOB,
}


class TableColumn(Struct, frozen=True):
    """One field of the row struct as a column. `type` is the field's annotation.

    `later`: rows may be older than the column; a field that is unset is SQL's NULL.
    """

    name: str
    kind: ColumnKind
    type: Any
    nullable: bool
    later: bool = False


def packed_has_stamp(packed: bytes, stamp: bytes) -> bool:
    """Whether a row that `Table.pack` made has this `mac`: its last field, in all that have one."""
    return packed.endswith(_MAC + _encode(stamp))  # with its name: no end of a stamp is a stamp


class Table(Generic[R]):
    """The rows of one struct, found by `key`, a tuple of its fields.

    `texts` are string fields that hold prose and cannot be searched, `unique` and `indexes` further
    fields that queries look for, `references` maps a field to the `(table, field)` in which its
    value must exist: nothing is ever deleted by cascade, a referenced row refuses to go. Rows of a
    table that is not `cached` are asked for by query alone: they would only push out the others.
    `sums` and `latest` are numbers that grow by `StoreTx.add_counts`: by what is added, or to
    whichever is greater; counted is only what is `about` one of these `(table, field)` by its key,
    which is of one field then. Of `many` there may be a million: a cache keeps them packed.
    Of a table that `has_folders` the key is a path, which is searched for by folder. `identity` is
    the unique field that says which row it is, whatever its key: one that goes in a transaction and
    comes under another key is moved, and what refers to it stays. `level` is the migration that
    made the table, `column_levels` those that added columns later: nodes of older programs may
    still run (`level_of`).
    """

    def __init__(
        self,
        name: str,
        row: type[R],
        key: tuple[str, ...],
        *,
        texts: tuple[str, ...] = (),
        unique: tuple[str, ...] = (),
        indexes: tuple[str, ...] = (),
        references: Mapping[str, tuple["Table[Any]", str]] | None = None,
        cached: bool = True,
        sums: tuple[str, ...] = (),
        latest: tuple[str, ...] = (),
        about: tuple[tuple["Table[Any]", str], ...] = (),
        many: bool = False,
        has_folders: bool = False,
        identity: str = "",
        level: int = 0,
        column_levels: Mapping[str, int] | None = None,
    ) -> None:
        self.name = name
        self.row = row
        self.key = key
        self.unique = unique
        self.indexes = indexes
        self.references = dict(references or {})
        self.is_cached = cached
        self.sums = sums
        self.latest = latest
        self.counted_subject = about
        self.kept_packed = many
        self.has_folders = has_folders
        self.identity = identity
        self._level = level
        self._column_levels = tuple((column_levels or {}).items())
        self.columns = tuple(_column(field, texts) for field in msgspec.structs.fields(row))
        self.kinds = {column.name: column.kind for column in self.columns}
        self.is_guarded = "mac" in self.kinds
        self.key_of = _getter(key)
        self.unpack: Callable[[bytes], R] = msgspec.msgpack.Decoder(row).decode
        """A row equal to the one that `pack` was given."""
        self.searched = tuple(
            c.name
            for c in self.columns
            if c.name in {*unique, *indexes, *self.references} and c.name not in key
        )
        """Columns beside the key that have an index."""
        self.secondary = tuple(
            name
            for name in self.searched
            if self.is_guarded and not many and self.kinds[name] is ColumnKind.NAME
        )
        """Those whose searches have to be complete: `vault.store.row_index` sums their rows."""
        self.secondary_of = _getter(self.secondary)
        self.searched_of = _getter(self.searched)
        self._strings = tuple(c.name for c in self.columns if c.type is str)
        self._strings_of = _getter(self._strings)
        self._integers = tuple(c.name for c in self.columns if c.kind is ColumnKind.INTEGER)
        self._integers_of = _getter(self._integers)

    def __repr__(self) -> str:
        return f"<Table {self.name}>"

    def level_of(self, row: R) -> int:
        """The migration that a node must know to read the row; 0: every node does."""
        level = self._level
        for name, own in self._column_levels:
            if own > level and getattr(row, name) is not UNSET:
                level = own
        return level

    def normalize_row(self, row: R) -> R:
        """The row as any database would return it: its strings are plain `str`.

        Raises `ValidationError` naming the field when some database could not hold it: a string
        that is too long, not Unicode or holds NUL (PostgreSQL refuses it), an integer beyond 64
        bits, a row of more than `ROW_BYTES`.
        """
        if not self._is_short(self._strings_of(row)):
            row = self._checked(row)
        numbers = self._integers_of(row)
        for number in (min(numbers, default=0), max(numbers, default=0)):
            if not INTEGER_MIN <= number <= INTEGER_MAX:
                raise self._refusal(self._first(row, self._integers, number))
        if len(self.pack(row)) > ROW_BYTES:
            raise self._refusal("row")
        return row

    @staticmethod
    def _is_short(texts: tuple[str, ...]) -> bool:
        """Whether one look at all of them shows that each is plain and fits the narrowest kind."""
        return (
            set(map(type, texts)) <= _PLAIN
            and "\0" not in "".join(texts)
            and max(map(len, texts), default=0) * 4 <= NAME_BYTES
        )

    def _checked(self, row: R) -> R:
        """The row with plain strings. Raises `ValidationError` naming the one that is too long."""
        plain: dict[str, str] = {}
        for name in self._strings:
            text = getattr(row, name)
            if type(text) is not str:
                plain[name] = text = str(text)
            bound = NAME_BYTES if self.kinds[name] is ColumnKind.NAME else TEXT_BYTES
            if "\0" in text or (len(text) * 4 > bound and _utf8_length(text) > bound):
                raise self._refusal(name)
        return msgspec.structs.replace(row, **plain) if plain else row

    @staticmethod
    def _first(row: Struct, names: tuple[str, ...], value: object) -> str:
        return next(name for name in names if getattr(row, name) is value)

    def pack(self, row: R) -> bytes:
        """The row in one piece. Raises `ValidationError` if it cannot be stored."""
        try:
            return _encode(row)
        except (UnicodeEncodeError, OverflowError, TypeError, RecursionError):
            raise self._refusal("row") from None

    def add_counts(self, row: R, more: R) -> R:
        """Two rows of one key, counted together; a sum stays where integers end."""
        sums = {
            name: min(getattr(row, name) + getattr(more, name), INTEGER_MAX) for name in self.sums
        }
        latest = {name: max(getattr(row, name), getattr(more, name)) for name in self.latest}
        return msgspec.structs.replace(row, **sums, **latest)

    def _refusal(self, field: str) -> ValidationError:
        return ValidationError(
            "row_invalid", f"{self.name}: the database cannot hold this {field}", field=field
        )


class StoreQuery(Struct, frozen=True, kw_only=True):
    """Rows for which all of this holds, in the order of their keys (bytewise, as UTF-8).

    `equals` fixes columns, `prefix` is `(column, text)` it starts with, `at_most` is `(column, n)`
    with 0 < column <= n (zero means never), `after` is the key to go on behind, in the direction
    of the order. `smallest_first`: in the order of the column of `at_most` first, and `after` is
    that number and the key; an index of that column alone finds the first rows among millions.
    """

    equals: dict[str, str | int | bool] = {}
    prefix: tuple[str, str] | None = None
    after: Key | None = None
    descending: bool = False
    at_most: tuple[str, int] | None = None
    smallest_first: bool = False
    limit: int = MAX_LIMIT

    def order(self, table: "Table[Any]") -> tuple[str, ...]:
        """The columns of the order, each once."""
        first = self.at_most[:1] if self.at_most and self.smallest_first else ()
        return (*first, *(name for name in table.key if name not in first))


def _column(field: msgspec.structs.FieldInfo, texts: tuple[str, ...]) -> TableColumn:
    kind = ColumnKind.TEXT if field.name in texts else _KINDS.get(field.type, ColumnKind.JSON)
    later = field.default is UNSET
    return TableColumn(field.name, kind, field.type, later or field.default is None, later)


def _getter(names: tuple[str, ...]) -> Callable[[Struct], tuple[Any, ...]]:
    if len(names) > 1:
        return cast("Callable[[Struct], tuple[Any, ...]]", attrgetter(*names))
    if not names:
        return lambda _: ()
    getter = attrgetter(names[0])
    return lambda row: (getter(row),)


def _utf8_length(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


class RankedQuery(Struct, frozen=True, kw_only=True):
    """Rows of `table` by a number that `by` keeps of them, the greatest first.

    A row of `by` is about the row whose unique field `link` is its key, which is of one field. Rows
    whose number is 0 or below, or that are not there, are left out.
    """

    table: Table[Any]
    link: str
    by: Table[Any]
    column: str
    limit: int
