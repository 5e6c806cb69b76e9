"""The SQL types of the kinds: chosen so that every database compares and keeps the same.

Migrations use these too; what a type *is* never changes once it was released.
"""

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

from vault.store.table import NAME_BYTES, Kind


class Utf8(TypeDecorator[str]):
    """Text as its bytes: MySQL's collations fold case, or ignore closing spaces, or both."""

    impl = mysql.VARBINARY
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> bytes | None:  # noqa: ARG002  # SQLAlchemy's signature
        """To the database."""
        return None if value is None else value.encode()

    def process_result_value(self, value: bytes | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002  # SQLAlchemy's signature
        """From the database."""
        return None if value is None else value.decode()


class Blob(sa.LargeBinary):
    """Bytes as the driver returns them; a damaged cell must reach `Statements.read` to be named."""

    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> None:
        """None to do."""


def name() -> TypeEngine[str]:
    """Text compared bytewise, at most 512 bytes: it fits an index of every database."""
    postgres = postgresql.VARCHAR(NAME_BYTES, collation="C")
    return (
        sa.String(NAME_BYTES)
        .with_variant(postgres, "postgresql")
        .with_variant(Utf8(NAME_BYTES), "mysql", "mariadb")
    )


def text() -> TypeEngine[str]:
    """Text that is never compared."""
    return sa.Text().with_variant(
        mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )


def integer() -> TypeEngine[int]:
    """64 bits; instants are Unix nanoseconds, which no database's own time type keeps whole."""
    return sa.BigInteger()


def boolean() -> TypeEngine[bool]:
    """True or false."""
    return sa.Boolean()


def blob() -> TypeEngine[bytes]:
    """Bytes; MySQL's plain BLOB would end at 64 KiB."""
    return Blob().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def json() -> TypeEngine[Any]:
    """A JSON value; Python's None is SQL's NULL."""
    return sa.JSON(none_as_null=True)


TYPES: Final[Mapping[Kind, TypeEngine[Any]]] = {
    Kind.NAME: name(),
    Kind.TEXT: text(),
    Kind.INTEGER: integer(),
    Kind.BOOLEAN: boolean(),
    Kind.BLOB: blob(),
    Kind.JSON: json(),
}
