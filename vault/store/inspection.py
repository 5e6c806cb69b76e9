"""Looks at a database file beside whoever has it: nothing is taken, migrated, written or locked.

`ServerBackend.inspect` does the same on a server.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from vault.store.interface import BackendError
from vault.store.schema import SELECT_STEPS, VERSION_TABLE, DatabaseState
from vault.store.tables import SYSTEM

_QUICK: Final = 64 * 2**20
"""Bytes of a file up to which its pages are checked: about a second."""
_BUSY_MS: Final = 2000


def inspect_file(path: Path, *rows: str) -> DatabaseState:
    """Of a SQLite file, with these rows of `system`.

    Raises `BackendError` (`store_corrupt`, `store_unavailable`).
    """
    # Without a log nobody has it open, and SQLite would make one to read it.
    is_open = path.with_name(f"{path.name}-wal").exists()
    address = f"{path.absolute().as_uri()}?{'mode=ro' if is_open else 'immutable=1'}"
    try:
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as database:
            database.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
            database.execute("PRAGMA trusted_schema=OFF")
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            if VERSION_TABLE not in tables:
                return DatabaseState()
            if path.stat().st_size <= _QUICK:
                (answer,) = database.execute("PRAGMA quick_check(1)").fetchone()
                if answer != "ok":
                    raise BackendError("store_corrupt", "its pages contradict each other")
            steps = [step for (step,) in database.execute(SELECT_STEPS)]
            query = f"SELECT value FROM {SYSTEM.name} WHERE name = ?"  # noqa: S608  # a name of ours
            found = {name: database.execute(query, (name,)).fetchone() for name in rows}
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF if hasattr(error, "sqlite_errorcode") else 0
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise BackendError("store_corrupt", "SQLite cannot read it") from error
        raise BackendError("store_unavailable", str(error)) from error
    there = {name: bytes(row[0]) for name, row in found.items() if row is not None}
    return DatabaseState(step="".join(steps[:1]), rows=there)
