"""vault.store.columns: the same comparison on every database."""

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from vault.store import columns
from vault.store.table import ColumnKind


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


def test_utf8() -> None:
    """Text goes to MySQL as its bytes, and comes back."""
    type_ = columns.Utf8Column(512)
    dialect = mysql.dialect()
    assert type_.process_bind_param("ä ", dialect) == b"\xc3\xa4 "
    assert type_.process_result_value(b"\xc3\xa4 ", dialect) == "ä "
    assert type_.process_bind_param(None, dialect) is None
    assert type_.process_result_value(None, dialect) is None


def test_blob_is_left_alone() -> None:
    """A cell that is no blob reaches the reader as it is, who can say whose it is."""
    assert columns.BlobColumn().result_processor(sqlite.dialect(), None) is None


def test_every_kind_has_a_type() -> None:
    """The table of kinds is whole."""
    assert columns.COLUMN_TYPES.keys() == set(ColumnKind)
    assert isinstance(columns.boolean_type(), sa.Boolean)
