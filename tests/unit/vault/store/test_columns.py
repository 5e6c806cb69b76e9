"""vault.store.columns: the same comparison on every database."""

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from vault.store import columns


def ddl(type_: sa.types.TypeEngine[object], dialect: sa.Dialect) -> str:
    """The type's name in a CREATE TABLE."""
    return str(type_.dialect_impl(dialect).compile(dialect))


def test_names_are_compared_bytewise() -> None:
    """PostgreSQL's C collation, MySQL's bytes, SQLite's default: none folds, none pads."""
    assert ddl(columns.name_type(), postgresql.dialect()) == 'VARCHAR(512) COLLATE "C"'
    assert ddl(columns.name_type(), mysql.dialect()) == "VARBINARY(512)"
    assert ddl(columns.name_type(), sqlite.dialect()) == "VARCHAR(512)"


def test_wide_enough() -> None:
    """Instants need 64 bits, a value of a megabyte more than MySQL's plain BLOB and TEXT."""
    assert ddl(columns.integer_type(), mysql.dialect()) == "BIGINT"
    assert ddl(columns.blob_type(), mysql.dialect()) == "MEDIUMBLOB"
    prose = "MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    assert ddl(columns.text_type(), mysql.dialect()) == prose
    assert ddl(columns.json_type(), mysql.dialect()) == "JSON"
