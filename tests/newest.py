"""Databases at the newest step of their schema, with nothing in them, and an authority.

To make one takes all steps, and to load what takes them: a third of a first start, half of most
tests of the control plane. So each is made once a process and copied.
"""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from stat import S_IMODE
from threading import Lock

from control.bootstrap import create_dev_authority
from control.store.engines import open_engines
from control.store.migrate import migrate
from vault.store.sqlite import SqliteBackend

_ONE = Lock()  # Alembic runs in one thread at a time


def place_vault(folder: Path) -> None:
    """Put an agent's into the folder, unless there is one."""
    _place(folder / "vault.db", _open_and_close)


def place_control(folder: Path) -> str:
    """Put a control plane's into the folder, unless there is one; its URL."""
    file = folder / "control.db"
    _place(file, bring_up)
    return f"sqlite:///{file}"


def place_authority(folder: Path, now: int) -> None:
    """Put a development authority into the folder, made at this time."""
    for name, mode, content in _authority(now):
        file = folder / name
        if content is None:
            file.mkdir(mode=mode)
        else:
            file.touch(mode=mode)
            file.write_bytes(content)


@cache
def _authority(now: int) -> list[tuple[Path, int, bytes | None]]:
    """Name, mode and content of each of its files; None for a folder's."""
    with tempfile.TemporaryDirectory() as name:
        create_dev_authority(Path(name), now)
        return [
            (
                file.relative_to(name),
                S_IMODE(file.stat().st_mode),
                file.read_bytes() if file.is_file() else None,
            )
            for file in sorted(Path(name).rglob("*"))
        ]


def bring_up(url: str) -> None:
    """Take all steps of a control plane's database."""
    engines = open_engines(url)
    with engines.writes.connect() as connection:
        migrate(connection)
    engines.close()


def _open_and_close(url: str) -> None:
    backend = SqliteBackend(url)
    backend.open()
    backend.close()


def _place(file: Path, make: Callable[[str], None]) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not file.exists():
        with _ONE:
            made = _made(make)
        file.touch(mode=0o600)
        file.write_bytes(made)


@cache
def _made(make: Callable[[str], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "made.db"
        make(f"sqlite:///{file}")
        return file.read_bytes()
