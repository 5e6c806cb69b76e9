"""Patches of single pages of a database, past SQLite: no number in the file tells of them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def mapped(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that has the log's index mapped, as whoever patches pages needs it."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as database:
        database.execute("SELECT count(*) FROM tokens").fetchone()
        yield database


def swap(database: sqlite3.Connection, path: Path, index: str, one: str, other: str) -> None:
    """Have each of two texts in a leaf of an index lead to the row of the other one.

    Both rows have numbers from 2 to 127: one byte behind the text.
    """
    (root,) = database.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = ?", [index]
    ).fetchone()
    (size,) = database.execute("PRAGMA page_size").fetchone()
    database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        page = bytearray(file.read(size))
        here, there = (page.index(text.encode()) + len(text) for text in (one, other))
        page[here], page[there] = page[there], page[here]
        file.seek((root - 1) * size)
        file.write(page)


def replace(database: sqlite3.Connection, path: Path, old: str, new: str) -> int:
    """Write a text in the place of another one of its length, wherever it is; how often."""
    database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    with path.open("r+b") as file:
        content = file.read()
        found = content.count(old.encode())
        file.seek(0)
        file.write(content.replace(old.encode(), new.encode()))
    return found
