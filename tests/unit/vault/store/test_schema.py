"""vault.store.schema: the struct and nothing but the struct, on every database."""

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable

from vault.model import records
from vault.store.schema import METADATA, SQL_TABLES
from vault.store.table import NAME_BYTES, ColumnKind
from vault.store.tables import ALL


def test_every_record_has_a_table() -> None:
    """No row struct is forgotten, none is kept twice."""
    structs = {
        value
        for value in vars(records).values()
        if isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and value.__module__ == records.__name__
        and value is not records.GrantAuthority  # a part of a row
    }
    assert {table.row for table in ALL} == structs
    assert len(ALL) == len(structs) == len(METADATA.tables)


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_fields_are_columns(table: object) -> None:
    """Each field of the struct has its column, and each column its field, in this order."""
    sql = SQL_TABLES[table]  # type: ignore[index]  # parametrize knows no types
    assert [c.name for c in sql.c] == [f.name for f in msgspec.structs.fields(table.row)]  # type: ignore[attr-defined]
    assert [c.name for c in sql.primary_key] == list(table.key)  # type: ignore[attr-defined]


def test_nothing_cascades() -> None:
    """No deletion erases history by itself (the design's ON DELETE CASCADE would)."""
    keys = [key for sql in SQL_TABLES.values() for key in sql.foreign_keys]
    assert keys
    assert {key.ondelete for key in keys} == {"RESTRICT"}


def test_no_own_time_types() -> None:
    """No column has a database's time, float or decimal: each of them loses something."""
    types = {type(c.type) for sql in SQL_TABLES.values() for c in sql.c}
    assert not any(issubclass(t, sa.DateTime | sa.Date | sa.Numeric | sa.Uuid) for t in types)


@pytest.mark.parametrize("dialect", [sqlite, postgresql, mysql], ids=lambda d: d.__name__[24:])
def test_compiles(dialect: object) -> None:
    """Every database that we mean to support has words for every table."""
    for sql in SQL_TABLES.values():
        assert str(CreateTable(sql).compile(dialect=dialect.dialect()))  # type: ignore[attr-defined]


def test_keys_fit_mysql() -> None:
    """Key, unique and indexed columns fit an index of InnoDB (3,072 bytes)."""
    for table in ALL:
        for columns in (table.key, *((name,) for name in (*table.unique, *table.indexes))):
            sizes = {ColumnKind.NAME: NAME_BYTES, ColumnKind.INTEGER: 8}
            assert sum(sizes[table.kinds[name]] for name in columns) <= 3072


def test_parents_come_first() -> None:
    """The order of the tables is one in which they can be filled."""
    for i, table in enumerate(ALL):
        for parent, target in table.references.values():
            assert ALL.index(parent) < i
            assert target in (*parent.unique, *parent.key)
