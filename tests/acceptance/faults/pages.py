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


@contextmanager
def restored(path: Path) -> Iterator[None]:
    """Put the log of SQLite and its index back as they were, byte by byte, after the block."""
    files = [path.with_name(path.name + end) for end in ("-shm", "-wal")]
    before = [file.read_bytes() for file in files]
    yield
    for file, content in zip(files, before, strict=True):
        with file.open("r+b") as opened:
            opened.write(content)
            if file.suffix.endswith("-wal"):
                opened.truncate()


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


def tables_of(database: sqlite3.Connection, table: str = "tokens") -> list[int]:
    """The first pages of a table and of its indexes; of small ones that is all."""
    found = database.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = ?", [table])
    return [page for (page,) in found]


def replace(
    database: sqlite3.Connection, path: Path, old: str, new: str, *, pages: list[int]
) -> int:
    """Write a text in the place of another one of its length in these pages; how often."""
    (size,) = database.execute("PRAGMA page_size").fetchone()
    database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    found = 0
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * size)
            content = file.read(size)
            found += content.count(old.encode())
            file.seek((page - 1) * size)
            file.write(content.replace(old.encode(), new.encode()))
    return found
