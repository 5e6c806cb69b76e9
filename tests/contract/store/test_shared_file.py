"""Several processes on one SQLite file: what one does that fails, and what intruders do."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.contract.store.head_child import map_words
from tests.contract.store.samples import next_version, put, secret, user
from tests.contract.store.sharing import SharedFile, joined, stored_stamp
from vault.errors import ConflictError, TamperedError
from vault.store.change_feed import FeedBehindError
from vault.store.interface import BackendError
from vault.store.shared_head import BYTES, SharedHead
from vault.store.store import Store
from vault.store.table import StoreQuery
from vault.store.tables import SECRETS, SYSTEM, USERS
from vault.store.transaction import StoreTx

PATIENCE = 60.0  # seconds
ALL_VERSIONS = "SELECT secret_id, version FROM secret_versions WHERE secret_id = ? ORDER BY version"
CHILD = "tests.contract.store.head_child"
FIRST_CHILD = 40  # those before it are numbers of this process


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SharedFile]:
    """A file whose head other processes can map."""
    made = SharedFile(tmp_path, map_words(tmp_path))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
async def stores(file: SharedFile) -> AsyncIterator[list[Store]]:
    """Two of this process."""
    async with joined(file, "a") as one, joined(file, "b") as other:
        yield [one, other]


class Children:
    """Further processes on a file."""

    def __init__(self, file: SharedFile, root: Path) -> None:
        self._folder = file.file.parent
        self._root = root
        self.started: list[subprocess.Popen[str]] = []

    def start(self, what: str, *more: str) -> subprocess.Popen[str]:
        """One more; see `head_child`."""
        number = str(FIRST_CHILD + len(self.started))
        command = [sys.executable, "-m", CHILD, str(self._folder), number, what, *more]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=self._root)
        self.started.append(child)
        return child

    def run(self, what: str, *more: str) -> list[str]:
        """What one more says until it ends."""
        child = self.start(what, *more)
        out, _ = child.communicate(timeout=PATIENCE)
        assert child.returncode in {0, -signal.SIGKILL}
        return out.splitlines()


@pytest.fixture
def children(file: SharedFile, root: Path) -> Iterator[Children]:
    """They are gone afterwards."""
    made = Children(file, root)
    yield made
    for child in made.started:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def line(child: subprocess.Popen[str]) -> str:
    """The next one that it says."""
    assert child.stdout is not None
    return child.stdout.readline().strip()


class TestWords:
    """What is known without a query."""

    def test_of_a_commit(self, file: SharedFile) -> None:
        """Until it ends nobody is told of it, so the last one is the one before."""
        one, other = (file.head_of(file.backend()) for _ in range(2))
        one.end_commit(7)
        assert other.is_at(7)
        one.begin_commit(8)
        assert [other.is_at(number) for number in (7, 8)] == [True, False]
        one.end_commit(8)
        assert other.is_at(8)
        assert not other.is_at(7)

    def test_of_one_that_comes_to_nothing(self, file: SharedFile) -> None:
        """The last one is what it was."""
        one, other = (file.head_of(file.backend()) for _ in range(2))
        one.end_commit(7)
        one.begin_commit(8)
        one.abandon_commit(7)
        assert other.is_at(7)
        assert not other.is_at(8)

    def test_of_who_holds_it(self, file: SharedFile) -> None:
        """The process, while it does; and each time is another."""
        one, other = (file.head_of(file.backend()) for _ in range(2))
        before = other.holder
        assert before[0] == 0
        with one.hold():
            assert other.holder == (os.getpid(), before[1] + 1)
        with one.hold():
            assert other.holder == (os.getpid(), before[1] + 2)
        assert other.holder[0] == 0


def test_one_holds_it_at_a_time(file: SharedFile) -> None:
    """The other waits, in the same process too."""
    one, other = (file.head_of(file.backend()) for _ in range(2))
    holds = threading.Event()

    def hold() -> None:
        with other.hold():
            holds.set()

    with one.hold():
        thread = threading.Thread(target=hold)
        thread.start()
        assert not holds.wait(0.1)
    assert holds.wait(PATIENCE)
    thread.join()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_who_is_killed_holds_it_no_more(
    file: SharedFile, children: Children, how: signal.Signals
) -> None:
    """The kernel gives it to the next one, who may be waiting."""
    head = file.head_of(file.backend())
    child = children.start("hold")
    assert line(child) == "held"
    assert head.holder[0] == child.pid
    holds = threading.Event()

    def hold() -> None:
        with head.hold():
            holds.set()

    thread = threading.Thread(target=hold)
    thread.start()
    assert not holds.wait(0.1)
    os.kill(child.pid, how)
    assert holds.wait(PATIENCE)
    thread.join()


def test_who_is_stopped_holds_it_and_is_known(file: SharedFile, children: Children) -> None:
    """Whoever looks sees the same process with the same turn: it can be ended."""
    head = file.head_of(file.backend())
    child = children.start("hold")
    assert line(child) == "held"
    os.kill(child.pid, signal.SIGSTOP)
    seen = head.holder
    assert seen[0] == child.pid
    assert head.holder == seen
    child.kill()
    child.wait()
    with head.hold():
        assert head.holder == (os.getpid(), seen[1] + 1)


@pytest.mark.parametrize("moment", ["die", "die-at-the-end"])
async def test_who_dies_behind_a_commit(
    stores: list[Store], children: Children, moment: str
) -> None:
    """It is stored, everybody sees it, and it is nobody else's write."""
    one, other = stores
    await one.commit(put(SECRETS, secret("before")))
    children.run(moment, "last")
    for store in stores:
        await store.catch_up()
        found = await store.get(SECRETS, "last")
        assert found is not None
        assert found.current_version == 1
    assert await one.foreign_writes() == 0
    assert await other.commit(next_version("last")) == 2
    assert await one.commit(next_version("last")) == 3
    assert [await store.foreign_writes() for store in stores] == [0, 0]


def refuse(_: Any) -> None:
    """A change that comes to nothing by itself."""
    raise ConflictError("no", "no")


@pytest.mark.parametrize("change", [refuse, put(USERS, user("bob", name_key="ann"))])
async def test_what_was_seen_of_one_who_died_stays(
    stores: list[Store], children: Children, change: Callable[[StoreTx], None]
) -> None:
    """A transaction behind it that comes to nothing hides it from nobody."""
    one, other = stores
    await one.commit(put(USERS, user("ann")))
    assert await one.commit(next_version("last")) == 1
    await other.catch_up()
    assert await version_of(other, "last") == 1
    children.run("die", "last")
    with pytest.raises(ConflictError):
        await one.commit(change)
    assert await version_of(one, "last") == 2
    await other.catch_up()
    assert await version_of(other, "last") == 2


async def test_a_transaction_that_could_not_begin_hides_nothing(
    file: SharedFile, stores: list[Store], children: Children
) -> None:
    """Nor one that has not even seen what was stored before it."""
    one, other = stores
    assert await other.commit(next_version("last")) == 1
    assert await version_of(other, "last") == 1
    children.run("die", "last")
    with closing(sqlite3.connect(file.file, isolation_level=None)) as administrator:
        administrator.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackendError, match="locked"):
            await other.commit(next_version("last"))
    await one.catch_up()
    await other.catch_up()
    assert [await version_of(store, "last") for store in stores] == [2, 2]


async def test_what_one_has_met_the_others_see(stores: list[Store], children: Children) -> None:
    """A commit of which nobody was told, as its maker died, is known once anybody has read it."""
    one, other = stores
    assert await one.commit(next_version("last")) == 1
    await other.catch_up()
    assert await version_of(other, "last") == 1
    children.run("die", "last")
    await one.invalidate_all()
    assert await version_of(one, "last") == 2
    await other.catch_up()
    assert await version_of(other, "last") == 2


async def version_of(store: Store, name: str) -> int:
    """The newest one, as the store knows it."""
    found = await store.get(SECRETS, name)
    return 0 if found is None else found.current_version


async def test_a_commit_that_failed_is_no_foreign_write(
    stores: list[Store], children: Children
) -> None:
    """Whether it is stored or not is not known; a full disk is not an intruder."""
    one, _ = stores
    await one.commit(put(SECRETS, secret("before")))
    said = children.run("starve", "starved")
    assert said in (["failed unknown", "ok 1"], ["failed none", "ok 1"])
    assert await one.foreign_writes() == 0
    assert await one.commit(next_version("starved")) == 2
    assert [await store.foreign_writes() for store in stores] == [0, 0]


INTRUSIONS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "a row": lambda db: db.execute("INSERT INTO system (name, value) VALUES ('x', X'00')"),
    "VACUUM": lambda db: db.execute("VACUUM"),
    "a table": lambda db: db.execute("CREATE TABLE more (x)"),
}


@pytest.mark.parametrize("what", INTRUSIONS)
async def test_a_write_of_another_program(file: SharedFile, stores: list[Store], what: str) -> None:
    """Is counted once, and every process learns of it, whoever commits in between."""
    _, other = stores
    for store in stores:
        await store.commit(put(SECRETS, secret("a")))
    with closing(sqlite3.connect(file.file, isolation_level=None)) as intruder:
        INTRUSIONS[what](intruder)
    if what == "a table":
        with pytest.raises(TamperedError):
            await other.commit(put(SECRETS, secret("b")))
    else:
        await other.commit(put(SECRETS, secret("b")))
    for _ in range(2):
        assert [await store.foreign_writes() for store in stores] == [1, 1]


async def test_a_write_of_another_process(stores: list[Store], children: Children) -> None:
    """The same, of one that has nothing of the agent's; each of them counts."""
    one, other = stores
    for number in (1, 2):
        children.run("intrude", f"by {number}")
        await one.commit(put(SECRETS, secret("a")))
        assert [await store.foreign_writes() for store in stores] == [number, number]
    assert await other.get(SYSTEM, "by 1") is not None


@pytest.mark.parametrize("mode", ["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
async def test_a_checkpoint_of_another_program(
    file: SharedFile, stores: list[Store], mode: str
) -> None:
    """Changes nothing that is stored, and is no write; nor is one that only looks."""
    one, other = stores
    for _ in range(3):
        await one.commit(next_version("a"))
        with closing(sqlite3.connect(file.file)) as administrator:
            administrator.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            administrator.execute("SELECT count(*) FROM secrets").fetchone()
        await other.commit(next_version("a"))
        file.first.checkpoint()
    assert [await store.foreign_writes() for store in stores] == [0, 0]


def test_nothing_that_ends_drops_a_lock_of_sqlite(file: SharedFile, children: Children) -> None:
    """Who closes a descriptor of the log's index frees all locks of this process on it.

    Then another process may overwrite what a reader here still reads.
    """
    one = file.backend()
    one.open()
    with one.read() as session:
        stored_before = session.get(SYSTEM, ("mark",))
        held = children.run("locks")
        assert held != []
        for _ in range(3):
            other = file.backend()
            other.open()
            with file.head_of(other).hold():
                other.foreign_writes()
            other.close()
            file.head_of(other).close()
        assert children.run("locks") == held
        assert session.get(SYSTEM, ("mark",)) == stored_before
    one.close()


async def test_processes_write_while_others_come_and_go(
    file: SharedFile, stores: list[Store], children: Children
) -> None:
    """No acknowledged version is lost or given twice, and the file is whole."""
    one, _ = stores
    writing = [children.start("write", "shared") for _ in range(2)]
    mine: list[int] = []

    def come_and_go() -> None:
        for _ in range(10):
            with going(file) as backend, backend.read() as session:
                session.select(SECRETS, StoreQuery())

    async def write() -> None:
        while len(mine) < 40:
            try:
                mine.append(await one.commit(next_version("shared")))
            except FeedBehindError:  # nothing is stored: the others were much faster
                await one.catch_up()

    for child in writing:
        assert line(child).startswith("ok")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        nursery.start_soon(trio.to_thread.run_sync, come_and_go)
    acknowledged = list(mine)
    for child in writing:
        child.kill()
        out, _ = child.communicate()
        acknowledged += [int(said.split()[1]) for said in out.splitlines() if said]
    assert len(set(acknowledged)) == len(acknowledged)
    await one.catch_up()
    stored = [number for _, number in file.run(ALL_VERSIONS, "id-shared")]
    assert stored == list(range(1, await version_of(one, "shared") + 1))
    assert set(acknowledged) <= set(stored)
    assert await one.foreign_writes() == 0
    await one.check()


@contextmanager
def going(file: SharedFile) -> Iterator[Any]:
    """A backend that is closed again."""
    backend = file.backend()
    backend.open()
    try:
        yield backend
    finally:
        backend.close()
        file.head_of(backend).close()


def test_a_head_that_was_left_by_another_opening(tmp_path: Path) -> None:
    """What was written while nobody had the file is not counted as written beside us."""
    words = map_words(tmp_path)
    first = SharedFile(tmp_path, words)
    first.close()
    with closing(sqlite3.connect(first.file)) as database, database:
        database.execute("INSERT INTO system (name, value) VALUES ('x', X'00')")
    backend = first.backend()
    first.first.open()
    backend.open()
    with first.head_of(backend).hold():
        assert backend.foreign_writes() == 0
    assert stored_stamp(backend)
    backend.close()
    first.close()


def test_a_lock_file_that_cannot_be_had(tmp_path: Path) -> None:
    """Whoever commits hears so, as of a database that does not answer."""
    head = SharedHead(tmp_path / "none" / "vault.db.lock", memoryview(bytearray(BYTES)))
    with pytest.raises(Exception, match="cannot be locked") as refused, head.hold():
        pass
    assert refused.value.code == "store_unavailable"  # type: ignore[attr-defined]  # a BackendError


async def test_the_index_of_the_log_that_is_made_anew(file: SharedFile) -> None:
    """SQLite removes it with the last connection. That is looked into once, and not ever again."""
    head, index = file.head_of(file.first), file.file.with_name("vault.db-shm")
    file.first.close()
    file.first.open()
    before = index.stat().st_ino
    file.first.connect()
    assert index.stat().st_ino != before
    async with joined(file, "b") as other:
        seen = set[int]()
        for number in range(3):
            await other.commit(put(SECRETS, secret("a", current_version=number)))
            with head.hold():
                seen.add(file.first.foreign_writes())
            seen.add(await other.foreign_writes())
        assert len(seen) == 1
        with closing(sqlite3.connect(file.file)) as intruder, intruder:
            intruder.execute("INSERT INTO system (name, value) VALUES ('x', X'00')")
        assert await other.foreign_writes() == max(seen) + 1
