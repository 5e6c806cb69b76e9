"""Bring a database's schema to this program's, all of it in one transaction, or refuse.

Alembic runs from here only: at start, on the writer's connection, while the backend holds the
database for itself. A kill midway leaves the schema as it was.
"""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from vault.errors import TamperedError, UnavailableError
from vault.store.schema import UNFINISHED

SCRIPTS: Final = Path(__file__).parent / "migrations"


def migrate_schema(connection: sa.Connection, versions: Path = SCRIPTS / "versions") -> None:
    """Run the steps that the database lacks; commits.

    Raises `UnavailableError` (`store_newer`) when the database has a step that this program does
    not know: it was written by a newer one, and an older one could damage it; `store_incomplete`
    when it is still being copied to. Raises `TamperedError` (`storage_schema_changed`) when it
    names several steps.
    """
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", _escaped(SCRIPTS))
    config.set_main_option("version_locations", _escaped(versions))
    config.set_main_option("path_separator", "newline")
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    with connection.begin():
        there = MigrationContext.configure(connection).get_current_heads()
        if any(step.startswith(UNFINISHED) for step in there):
            raise UnavailableError(
                "store_incomplete",
                "the database is unfinished, since a copy or a restore was interrupted: run the "
                "same `freehold storage migrate` or `freehold backup restore` again",
            )
        if not known.issuperset(there):
            raise UnavailableError(
                "store_newer", "the database was written by a newer version of this program"
            )
        if len(there) > 1:  # our steps are a line
            raise TamperedError(
                "storage_schema_changed",
                "the database says of its schema that it is at several steps (alembic_version), "
                "which no migration leaves. Find out who can write the file, then restore a backup",
            )
        if set(there) != set(scripts.get_heads()):
            command.upgrade(config, "head")


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")  # the configuration is an ini file to Alembic
