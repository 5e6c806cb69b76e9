"""Migrates a database's schema to this program's, in one transaction, or refuses.

Several processes may start on one PostgreSQL at once: an advisory lock lets one at a time in.
"""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from control.errors import UnavailableError

SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x667265_65686F6C  # "freehol": any constant of our own


def migrate(connection: sa.Connection, versions: Path = SCRIPTS / "versions") -> None:
    """Run the steps that the database lacks; commits.

    Raises `UnavailableError` (`store_newer`) for a database that a newer program has written.
    """
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", _escaped(SCRIPTS))
    config.set_main_option("version_locations", _escaped(versions))
    config.set_main_option("path_separator", "newline")
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    with connection.begin():
        if connection.dialect.name == "postgresql":
            # Who has waited for the lock has to see what was done meanwhile.
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            # A step takes as long as its tables are large, and so long does who waits for it.
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        there = MigrationContext.configure(connection).get_current_heads()
        if not known.issuperset(there):
            raise UnavailableError(
                "store_newer", "the database was written by a newer version of this program"
            )
        if set(there) != set(scripts.get_heads()):
            command.upgrade(config, "head")


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")  # the configuration is an ini file to Alembic
