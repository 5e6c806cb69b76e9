"""The uplink's database: all of a transaction or nothing, and its owner's alone."""

import sqlite3
from pathlib import Path

import pytest

from actors import SystemWorld
from vault.control_link.database import SCHEMA_VERSION, LinkDatabase, LinkTx, open_link_database
from vault.errors import UnavailableError

COUNT = "SELECT count(*) FROM staged_bundle"


def put(tx: LinkTx) -> None:
    """Some effect."""
    tx.execute("INSERT OR REPLACE INTO staged_bundle VALUES (1, x'00')")


def count(tx: LinkTx) -> int:
    """How many rows there are."""
    found: int = tx.execute(COUNT).fetchone()[0]
    return found


def unreadable(path: Path) -> None:
    """Names in its schema are noise, which SQLite quotes and Python cannot decode."""
    data = bytearray(path.read_bytes())
    at = data.rindex(b"CREATE TABLE inbox", 0, 4096)
    data[at - 10 : at + 12] = b"\xff" * 22
    path.write_bytes(data)


async def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    """A second opening finds it; the file is readable by nobody else."""
    path = tmp_path / "uplink.db"
    async with open_link_database(path, SystemWorld()) as database:
        await database.transact(put)
    assert path.stat().st_mode & 0o777 == 0o600
    async with open_link_database(path, SystemWorld()) as database:
        assert await database.transact(count) == 1


async def test_a_change_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Neither the rows before the failure, nor a transaction that is open still."""

    def fails(tx: LinkTx) -> None:
        put(tx)
        raise KeyError("on the way")

    async with open_link_database(tmp_path / "uplink.db", SystemWorld()) as database:
        with pytest.raises(KeyError):
            await database.transact(fails)
        assert await database.transact(count) == 0


async def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    """No database, one of a later version, a damaged or a closed one: each a typed error."""
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"no database at all " * 100)
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    for path, code in (
        (garbage, "uplink_damaged"),
        (newer, "uplink_version"),
        (tmp_path / "no folder" / "uplink.db", "uplink_store"),
    ):
        with pytest.raises(UnavailableError, match=code):
            async with open_link_database(path, SystemWorld()):
                raise AssertionError("it was opened")
    noise = tmp_path / "noise.db"
    async with open_link_database(noise, SystemWorld()):
        pass
    unreadable(noise)
    with pytest.raises(UnavailableError, match="uplink_damaged"):
        async with open_link_database(noise, SystemWorld()):
            raise AssertionError("it was opened")
    closed = LinkDatabase(tmp_path / "closed.db", SystemWorld())
    with pytest.raises(UnavailableError):
        await closed.transact(put)
    await closed.close()


async def test_what_passes_is_not_called_damage(tmp_path: Path) -> None:
    """A full disk, here by a bound that SQLite itself has: it works again when there is room."""

    def fill(tx: LinkTx) -> None:
        pages = tx.execute("PRAGMA page_count").fetchone()[0]
        tx.execute(f"PRAGMA max_page_count = {pages}")
        tx.execute("INSERT INTO staged_bundle VALUES (1, zeroblob(100000))")

    async with open_link_database(tmp_path / "uplink.db", SystemWorld()) as database:
        with pytest.raises(UnavailableError, match=r"uplink_store.*full"):
            await database.transact(fill)
    async with open_link_database(tmp_path / "uplink.db", SystemWorld()) as database:
        await database.transact(put)
