"""Indexes that have the rows of one kind alone, on every database."""

import sqlalchemy as sa


def index_of(title: str, *columns: str, where: str) -> sa.Index:
    """Of those rows for which the condition is true; used by queries that have it, too."""
    condition = sa.text(where)
    return sa.Index(title, *columns, sqlite_where=condition, postgresql_where=condition)
