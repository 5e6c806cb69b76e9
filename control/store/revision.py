"""The schema's revision, read without Alembic, which is slow to load and rarely needed."""

from typing import Final

import sqlalchemy as sa

HEAD: Final = "0032"
"""The newest step under `migrations/versions`."""

_STEPS: Final = sa.text("SELECT version_num FROM alembic_version")


def is_current(connection: sa.Connection) -> bool:
    """Whether the database is at `HEAD`; else Alembic has to migrate, or to refuse."""
    with connection.begin():
        there = sa.inspect(connection).has_table("alembic_version")
        return there and connection.scalars(_STEPS).all() == [HEAD]
