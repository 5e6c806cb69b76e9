"""vault.store.prepared_statements: a driver gets what SQLAlchemy would give it."""

from typing import Any

import pytest
import sqlalchemy as sa
from msgspec.structs import asdict, replace
from sqlalchemy.dialects import mysql, postgresql, sqlite

from tests.contract.store.samples import secret, version
from vault.model.path import ResourcePath
from vault.model.records import AccessRow
from vault.store.prepared_statements import PreparedStatements
from vault.store.statements import TableStatements, encode_json, pass_json_through
from vault.store.table import StoreQuery
from vault.store.tables import ACCESS, ALL, SECRETS, VERSIONS

JSON = {"json_serializer": encode_json, "json_deserializer": pass_json_through}
DIALECTS: dict[str, Any] = {
    "sqlite": sqlite.dialect(**JSON),
    "postgresql": postgresql.psycopg.dialect(paramstyle="format", **JSON),
    "mysql": mysql.pymysql.dialect(paramstyle="format", **JSON),
}
SQLITE = DIALECTS["sqlite"]


@pytest.fixture(params=DIALECTS.values(), ids=DIALECTS.keys())
def dialect(request: pytest.FixtureRequest) -> Any:
    """Each of the databases."""
    return request.param


QUERIES = [
    (SECRETS, StoreQuery(equals={"cas_required": True, "created_by": ResourcePath.parse("a/b")})),
    (SECRETS, StoreQuery(prefix=("name", ResourcePath.parse("a/b")), after=("a/b/c",), limit=3)),
    (SECRETS, StoreQuery(prefix=("name", "\U0010ffff"), descending=True)),
    (SECRETS, StoreQuery(at_most=("expires_at", 5))),
    (SECRETS, StoreQuery(at_most=("rotation_due", 6))),
    (SECRETS, StoreQuery(at_most=("rotation_due", 6), smallest_first=True)),
    (SECRETS, StoreQuery(at_most=("rotation_due", 6), smallest_first=True, after=(2, "a/b"))),
    (VERSIONS, StoreQuery(after=(ResourcePath.parse("s"), 3), descending=True)),
]


@pytest.mark.parametrize("what", ["select", "select_keys", "select_macs"])
def test_queries(dialect: Any, what: str) -> None:
    """Text and parameters of each form are those that SQLAlchemy makes, each in its place.

    Each form is asked twice, for other forms between must not change it.
    """
    made = {
        table: PreparedStatements(TableStatements(table), dialect) for table in (SECRETS, VERSIONS)
    }
    for table, query in QUERIES * 2:
        if what == "select_macs" and not table.is_guarded:
            continue
        statements = TableStatements(table)
        compiled: Any = getattr(statements, what)(query).compile(dialect=dialect)
        values = compiled.construct_params(statements.values(query))
        processors = compiled._bind_processors
        expected = [processors.get(n, lambda v: v)(values[n]) for n in compiled.positiontup]
        text, bound = made[table].query(what, query)
        assert text == compiled.string
        assert list(map(repr, bound)) == list(map(repr, expected))
        assert {type(value) for value in bound} <= {str, int, bool, bytes}


def test_as_sqlalchemy(dialect: Any) -> None:
    """Text and parameters of an insert and an update are those that SQLAlchemy makes."""
    row = secret("a", metadata={"k": "v"}, tags=["t"], cas_required=True)
    statements, prepared = (
        TableStatements(SECRETS),
        PreparedStatements(TableStatements(SECRETS), dialect),
    )
    for statement, ours in (
        (statements.insert, prepared.insert),
        (statements.update, prepared.update),
    ):
        compiled: Any = statement.compile(dialect=dialect)
        values = compiled.construct_params(asdict(row) | {"key_name": row.name})
        processors = compiled._bind_processors
        expected = [processors.get(n, lambda v: v)(values[n]) for n in compiled.positiontup]
        assert ours.text == compiled.string
        assert list(map(repr, ours.bind_rows([row])[0])) == list(map(repr, expected))


def test_every_table(dialect: Any) -> None:
    """All statements of all tables have a form with positions."""
    for table in ALL:
        prepared = PreparedStatements(TableStatements(table), dialect)
        marks = prepared.get.count("?") + prepared.get.count("%s")
        assert marks == len(table.key)
        assert prepared.delete.count(" = ") == len(table.key)
        assert prepared.insert.text.split()[2].strip("`") == table.name
        assert prepared.update.text.split()[1].strip("`") == table.name


def test_needs_positions() -> None:
    """A dialect with named parameters is a fault of the program, found at once."""
    named = postgresql.psycopg.dialect()
    with pytest.raises(ValueError, match="positional"):
        PreparedStatements(TableStatements(SECRETS), named)


def test_keys(dialect: Any) -> None:
    """Keys are bound as the column's type says, and as plain values."""
    prepared = PreparedStatements(TableStatements(SECRETS), dialect)
    (name,) = prepared.key_parameters((ResourcePath.parse("a/ä"),))
    assert name == ("a/ä".encode() if dialect.name == "mysql" else "a/ä")
    assert type(name) in {str, bytes}


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (9, [64]), (401, [400, 1])])
def test_among(count: int, sizes: list[int]) -> None:
    """Few different texts; one that has more room than keys repeats the last."""
    prepared = PreparedStatements(TableStatements(VERSIONS), SQLITE)
    keys = [("s", n) for n in range(count)]
    asked = list(prepared.select_by_keys(keys, "existing_keys"))
    assert [text.count("?") // 2 for text, _ in asked] == sizes
    bound = [part for _, bound in asked for part in bound]
    assert set(zip(bound[::2], bound[1::2], strict=True)) == set(keys)
    if count == 9:
        assert asked[0][1][-2:] == ("s", 8)


def test_among_is_read_back() -> None:
    """The texts find the rows of their keys, and no other."""
    engine = sa.create_engine("sqlite://", **JSON)
    prepared, statements = (
        PreparedStatements(TableStatements(VERSIONS), engine.dialect),
        TableStatements(VERSIONS),
    )
    with engine.connect() as connection:
        statements.sql.create(connection)
        driver = connection.connection.cursor()
        rows = [version("s", n) for n in range(1, 20)]
        driver.executemany(prepared.insert.text, prepared.insert.bind_rows(rows))
        [(text, bound)] = prepared.select_by_keys([("s", n) for n in range(10, 30)], "get_many")
        found = [prepared.read_row(record) for record in driver.execute(text, bound).fetchall()]
        assert found == rows[9:]
        driver.executemany(
            prepared.update.text, prepared.update.bind_rows([replace(rows[0], destroyed=True)])
        )
        record = driver.execute(prepared.get, prepared.key_parameters(("s", 1))).fetchone()
        assert prepared.read_row(record) == replace(rows[0], destroyed=True)
    engine.dispose()


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (7, [1] * 7), (137, [64, 64, 8, 1])])
def test_counting_in_few_texts(count: int, sizes: list[int]) -> None:
    """Each row once, however many there are."""
    rows = [AccessRow(secret_id=f"{n}") for n in range(count)]
    told = list(PreparedStatements(TableStatements(ACCESS), SQLITE).upsert_counts(rows))
    assert [text.count("?") // 5 for text, _ in told] == sizes
    assert [part for _, bound in told for part in bound[::5]] == [row.secret_id for row in rows]


def test_cells_of_a_dialect() -> None:
    """What a dialect makes of a cell is done before a row or a key is read."""
    prepared = PreparedStatements(TableStatements(SECRETS), DIALECTS["mysql"])
    assert prepared.read_key([b"a/\xc3\xa4"]) == ("a/ä",)
    cells = asdict(secret("a")) | {"metadata": "{}", "tags": "[]"}
    names = [c.name for c in SECRETS.columns if c.kind.value == "name"]
    cells |= {name: cells[name].encode() for name in names}
    assert prepared.read_row(list(cells.values())) == secret("a")
