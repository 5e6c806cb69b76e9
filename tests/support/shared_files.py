"""Backends of one process that several stores have open at once, as a server's database."""

from vault.store.memory import MemoryBackend
from vault.store.sqlite import SqliteBackend


class SharedMemory(MemoryBackend):
    """Rows in memory."""

    exclusive = False


class SharedSqlite(SqliteBackend):
    """A SQLite file."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.exclusive = False
