"""Which step the schema of a SQLite file is at, asked without Alembic: it is slow to load."""

from typing import Final

import sqlalchemy as sa

HEAD: Final = "0005"
"""The newest step under `migrations/versions`."""

_THERE: Final = sa.text("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'")
_STEPS: Final = sa.text("SELECT version_num FROM alembic_version")


def is_at_head(connection: sa.Connection) -> bool:
    """Whether the database is at `HEAD`: then there is nothing to migrate, and nothing unknown."""
    with connection.begin():
        if connection.execute(_THERE).first() is None:
            return False
        return [step for (step,) in connection.execute(_STEPS)] == [HEAD]
