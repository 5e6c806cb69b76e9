"""vault.store.statements: SQL that says the same everywhere, and records read with suspicion."""

from typing import Any

import pytest
from msgspec.structs import asdict
from sqlalchemy.dialects import mysql, postgresql, sqlite

from tests.contract.store.samples import secret
from vault.errors import TamperedError
from vault.model.path import ResourcePath
from vault.store.statements import TableStatements, encode_json, pass_json_through, to_base_type
from vault.store.table import StoreQuery
from vault.store.tables import ALL, API_KEYS, SECRETS, VERSIONS

HEADS, OLD = TableStatements(SECRETS), TableStatements(VERSIONS)


@pytest.mark.parametrize("dialect", [sqlite, postgresql, mysql], ids=lambda d: d.__name__[24:])
def test_portable(dialect: Any) -> None:
    """Each statement compiles for each database, and none relies on RETURNING."""
    for statements in map(TableStatements, ALL):
        s = statements
        for statement in (
            s.get,
            s.get_many,
            s.existing_keys,
            s.insert,
            s.update,
            s.update_rest,
            s.delete,
        ):
            assert "RETURNING" not in str(statement.compile(dialect=dialect.dialect()))
        assert s.select(StoreQuery()).compile(dialect=dialect.dialect())


def test_cursor_of_two_parts() -> None:
    """A cursor is spelled so that an index on both parts is used."""
    sql = str(OLD.select(StoreQuery(after=("s", 3))).whereclause)
    assert sql.count(">=") == 1
    assert sql.count(">") == 3
    assert "secret_id" in sql.partition(">=")[0]


def test_names() -> None:
    """Each bound name stands for one column, whatever other columns are called."""
    assert OLD.columns["key_secret_id"] == OLD.columns["secret_id"] == "secret_id"
    keys = TableStatements(
        API_KEYS
    ).columns  # `key_id` is bound to find the row, `key_hash` is a column
    assert keys["key_id"] == "id"
    assert keys["key_hash"] == "key_hash"
    assert type(to_base_type(ResourcePath.parse("a/b"))) is str
    assert to_base_type(3) == 3


def test_json() -> None:
    """JSON is written compact, and read by the row's own types."""
    assert encode_json({"ä": [1, None]}) == '{"ä":[1,null]}'
    assert pass_json_through("{}") == "{}"


def record(**changes: Any) -> list[Any]:
    """A record as a database returns it, some cells of it other."""
    cells = asdict(secret("a")) | {"metadata": '{"k":"v"}', "tags": '["t"]'} | changes
    return list(cells.values())


def test_read() -> None:
    """A record becomes its struct."""
    row = HEADS.read_row(record())
    assert row == secret("a", metadata={"k": "v"}, tags=["t"])
    assert HEADS.read_row(record(rotation_policy='{"n":1}')).rotation_policy == {"n": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": "{"},
        {"metadata": '{"k":1}'},
        {"tags": "{}"},
        {"tags": None},
        {"tags": 5},
        {"created_at": "1"},
        {"created_at": None},
        {"cas_required": 2},
        {"mac": 5},
        {"id": b"bytes"},
    ],
    ids=str,
)
def test_damaged(changes: dict[str, Any]) -> None:
    """A cell of another type or shape is tampering, and the error names the row."""
    with pytest.raises(TamperedError) as caught:
        HEADS.read_row(record(**changes))
    assert caught.value.details == {"table": "secrets", "key": ("a",)}
