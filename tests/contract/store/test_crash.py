"""SQLite for real: killed at random moments, out of space, refused by the kernel."""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from actors import SystemWorld
from tests.contract.store.samples import StampGuard, next_version, put, system
from vault.store.interface import BackendError
from vault.store.sqlite import SqliteBackend
from vault.store.store import open_store
from vault.store.table import StoreQuery
from vault.store.tables import SECRETS, SYSTEM, VERSIONS

ROOT = Path(__file__).parents[3]
WRITERS = 16


def start(url: str, *arguments: str) -> subprocess.Popen[bytes]:
    """The child, its acknowledgements readable."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.contract.store.child", url, str(WRITERS), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )


def acknowledged(lines: list[bytes]) -> Counter[str]:
    """The highest version that was acknowledged, by secret."""
    highest: Counter[str] = Counter()
    for line in lines:
        if line.startswith(b"ok ") and line.endswith(b"\n"):
            _, name, number = line.decode().split()
            highest[name] = max(highest[name], int(number))
    return highest


def verify(url: str, promised: Counter[str]) -> None:
    """Every acknowledged version is there, authentic, and none is missing before the last."""
    backend = SqliteBackend(url)
    backend.open()
    try:
        backend.check()
        with backend.read() as session:
            heads = session.select(SECRETS, StoreQuery())
            for head in heads:
                StampGuard().check("secrets", head)
                assert head.current_version >= promised[head.name]
                last = None
                numbers = []
                while page := session.select(
                    VERSIONS, StoreQuery(equals={"secret_id": head.id}, after=last)
                ):
                    numbers += [row.version for row in page]
                    last = (head.id, page[-1].version)
                assert numbers == list(range(1, head.current_version + 1))
        assert promised.keys() <= {head.name for head in heads}
    finally:
        backend.close()


def test_killed(tmp_path: Path) -> None:
    """Killed under 16 writers, again and again: no acknowledged version is lost, none is half."""
    url = f"sqlite:///{tmp_path}/vault.db"
    promised: Counter[str] = Counter()
    chance = random.Random(2)  # noqa: S311  # moments, not secrets
    for _ in range(5):
        with start(url) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(chance.randrange(1, 2000))]
            child.kill()
            lines += child.stdout.readlines()
        assert len(lines) > 0
        promised |= acknowledged(lines)
        verify(url, promised)
    assert promised.total() > WRITERS


def test_refused_writes(tmp_path: Path) -> None:
    """The kernel refuses to let the log grow: commits fail, and go on when it no longer does."""
    url = f"sqlite:///{tmp_path}/vault.db"
    with start(url, str(600 * 1024 + 100)) as child:
        assert child.stdout is not None
        lines = child.stdout.readlines()
    assert child.returncode == 0
    assert sum(line.startswith(b"failed store_unavailable") for line in lines) >= 5
    assert len(lines) > 100
    verify(url, acknowledged(lines))


class _Small(SqliteBackend):
    """SQLite's own idea of a full disk: a file of at most so many pages."""

    pages = 120

    def _connection(self, settings: tuple[str, ...]) -> object:  # type: ignore[override]
        return super()._connection((*settings, f"PRAGMA max_page_count={self.pages}"))


async def test_full(tmp_path: Path) -> None:
    """A full database says so, keeps what it has, and takes more when there is room again."""
    backend = _Small(f"sqlite:///{tmp_path}/vault.db")
    world = SystemWorld()

    def make_room(_: object) -> None:
        """Before the writer's next connection, whose number of pages is the one that counts."""
        backend.pages = 10_000

    async with open_store(backend, StampGuard(), world, report=make_room) as store:
        stored = 0

        async def fill() -> None:
            nonlocal stored
            while stored < 1000:
                await store.commit(put(SYSTEM, system(f"{stored:04}", b"x" * 10_000)))
                stored += 1

        with pytest.raises(BackendError) as caught:
            await fill()
        assert caught.value.code == "store_full"
        assert caught.value.details == {"outcome": "none"}
        assert stored > 5
        rows = await store.select(SYSTEM, StoreQuery())
        assert [row.name for row in rows] == [f"{i:04}" for i in range(stored)]
        await store.commit(put(SYSTEM, system("more", b"x" * 10_000)))
        assert await store.commit(next_version("a")) == 1
        await store.check()
