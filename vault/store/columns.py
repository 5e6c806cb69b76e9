"""The SQL types of the kinds: chosen so that every database compares and keeps the same.

Migrations use these too; what a type *is* never changes once it was released.

MySQL's own types are named, not imported: its dialect and PostgreSQL's were a twentieth of all that
an agent loads, which has its data in SQLite.
"""

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator, TypeEngine

from vault.store.table import NAME_BYTES, ColumnKind


class Utf8Column(TypeDecorator[str]):
    """Text as its bytes: MySQL's collations fold case, or ignore closing spaces, or both."""

    impl = sa.VARBINARY
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> bytes | None:  # noqa: ARG002  # SQLAlchemy's signature
        """To the database."""
        return None if value is None else value.encode()

    def process_result_value(self, value: bytes | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002  # SQLAlchemy's signature
        """From the database."""
        return None if value is None else value.decode()


class TextColumn(sa.Text):
    """Text that is never compared; MySQL's plain TEXT would end at 64 KiB."""

    cache_ok = True


class BlobColumn(sa.LargeBinary):
    """Bytes as the driver returns them; `TableStatements.read_row` names a damaged cell.

    MySQL's plain BLOB would end at 64 KiB.
    """

    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> None:
        """None to do."""


@compiles(TextColumn, "mysql", "mariadb")
def _mysql_prose(*_: object, **__: object) -> str:
    return "MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"


@compiles(BlobColumn, "mysql", "mariadb")
def _mysql_blob(*_: object, **__: object) -> str:
    return "MEDIUMBLOB"


def name_type() -> TypeEngine[str]:
    """Text compared bytewise, at most 512 bytes: it fits an index of every database."""
    postgres = sa.VARCHAR(NAME_BYTES, collation="C")
    return (
        sa.String(NAME_BYTES)
        .with_variant(postgres, "postgresql")
        .with_variant(Utf8Column(NAME_BYTES), "mysql", "mariadb")
    )


def text_type() -> TypeEngine[str]:
    """Text that is never compared."""
    return TextColumn()


def integer_type() -> TypeEngine[int]:
    """64 bits; instants are Unix nanoseconds, which no database's own time type keeps whole."""
    return sa.BigInteger()


def boolean_type() -> TypeEngine[bool]:
    """True or false."""
    return sa.Boolean()


def blob_type() -> TypeEngine[bytes]:
    """Bytes."""
    return BlobColumn()


def json_type() -> TypeEngine[Any]:
    """A JSON value; Python's None is SQL's NULL."""
    return sa.JSON(none_as_null=True)


COLUMN_TYPES: Final[Mapping[ColumnKind, TypeEngine[Any]]] = {
    ColumnKind.NAME: name_type(),
    ColumnKind.TEXT: text_type(),
    ColumnKind.INTEGER: integer_type(),
    ColumnKind.BOOLEAN: boolean_type(),
    ColumnKind.BLOB: blob_type(),
    ColumnKind.JSON: json_type(),
}
