"""An index of some rows says which, to each database."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from control.store.columns import index_of


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()])
def test_only_those_rows_are_in_it(dialect: sa.Dialect) -> None:
    """And not all of them, for want of the condition on one of the two."""
    index = index_of("ix", "a", "b", where="c IS NOT NULL")
    sa.Table("t", sa.MetaData(), *(sa.Column(each, sa.Integer) for each in "abc"), index)
    made = str(sa.schema.CreateIndex(index).compile(dialect=dialect))
    assert made == "CREATE INDEX ix ON t (a, b) WHERE c IS NOT NULL"
