"""Upserts of counters: each parameter is where `PreparedStatements.upsert_counts` puts it.

What they do is in tests/contract/store/test_counting.py.
"""

from typing import Any

import pytest

from tests.unit.vault.store.test_prepared_statements import DIALECTS
from vault.store.prepared_statements import PreparedStatements
from vault.store.statements import TableStatements, count_columns, count_statement
from vault.store.tables import ACCESS, USAGE


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
@pytest.mark.parametrize("rows", [1, 8, 64])
def test_parameters_come_row_by_row(dialect: Any, rows: int) -> None:
    """The parameters of a statement that counts are its rows' fields, in the order of both."""
    for table in (ACCESS, USAGE):
        statement = count_statement(table, rows, dialect.name)
        compiled: Any = statement.compile(dialect=dialect)
        assert compiled.positiontup == list(count_columns(table, rows))
        names = [column.name for column in table.columns]
        made = [table.row(**{name: f"{n} {name}" for name in names}) for n in range(rows)]
        [(text, bound)] = PreparedStatements(TableStatements(table), dialect).upsert_counts(made)
        assert text == compiled.string
        plainly = [part.decode() if isinstance(part, bytes) else part for part in bound]
        assert plainly == [f"{n} {name}" for n in range(rows) for name in names]


def test_counting_is_known_of_each_database() -> None:
    """One that nobody has thought of is a fault of the program, found at once."""
    with pytest.raises(ValueError, match="oracle"):
        count_statement(ACCESS, 1, "oracle")
