"""An agent's database as a first start makes it, before anything is in it.

To make one takes a third of a start; most starts of these tests are first ones.
"""

import tempfile
from functools import cache
from pathlib import Path

from vault.store.sqlite import SqliteBackend


def place(folder: Path) -> None:
    """Put one into the folder, unless there is one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "vault.db"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_bytes(_newest())


@cache
def _newest() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        backend = SqliteBackend(f"sqlite:///{folder}/vault.db")
        backend.open()
        backend.close()
        return (Path(folder) / "vault.db").read_bytes()
