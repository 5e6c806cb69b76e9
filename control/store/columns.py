"""Column types and partial indexes, the same on every database."""

from typing import Any

import msgspec
import sqlalchemy as sa

from protocols import json_text

# PostgreSQL's default collation depends on the machine; names are compared and ordered bytewise.
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


class JsonColumn(sa.types.TypeDecorator[Any]):
    """Any JSON value, as text: structs go in, plain data comes out."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str:  # noqa: ARG002
        """To text."""
        return msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ARG002
        """From text."""
        return json_text.decode(value)

    @classmethod
    def column(cls, title: str) -> sa.Column[Any]:
        """A column of it."""
        return sa.Column(title, cls(), nullable=False)


def name_column(title: str, *, key: bool = False) -> sa.Column[str]:
    """Text that is compared and ordered bytewise."""
    return sa.Column(title, _TEXT, primary_key=key, nullable=False)


def prose_column(title: str) -> sa.Column[str]:
    """Text that is only shown."""
    return sa.Column(title, sa.Text(), nullable=False)


def integer_column(title: str, *, key: bool = False) -> sa.Column[int]:
    """A 64-bit integer; as a single key of SQLite it is the row's own number."""
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(title, kind, primary_key=key, nullable=False, autoincrement=key and "auto")


def float_column(title: str) -> sa.Column[float]:
    """A double."""
    return sa.Column(title, sa.Double(), nullable=False)


def boolean_column(title: str) -> sa.Column[bool]:
    """True or false."""
    return sa.Column(title, sa.Boolean(), nullable=False)


def bytes_column(title: str, *, key: bool = False) -> sa.Column[bytes]:
    """Bytes."""
    return sa.Column(title, sa.LargeBinary(), primary_key=key, nullable=False)


def optional_integer_column(title: str) -> sa.Column[int | None]:
    """A 64-bit integer, or nothing."""
    return sa.Column(title, sa.BigInteger(), nullable=True)


def optional_bytes_column(title: str) -> sa.Column[bytes | None]:
    """Bytes, or nothing."""
    return sa.Column(title, sa.LargeBinary(), nullable=True)


def index_of(title: str, *columns: str, where: str) -> sa.Index:
    """An index of the rows that match the condition, for queries with the same condition."""
    condition = sa.text(where)
    return sa.Index(title, *columns, sqlite_where=condition, postgresql_where=condition)
