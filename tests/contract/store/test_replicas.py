"""Real replicas beside a database: they answer what they are new enough for, and nothing else."""

import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import trio

from actors import SystemWorld
from tests.contract.store.harness import index_of_rows, stamper_of
from tests.contract.store.samples import StampGuard, next_version, put, secret, system
from tests.contract.store.sharing import SharedServer
from tests.support.databases import SERVERS, Server, database_name, server_backend
from tests.support.replicas import (
    Follower,
    continue_frozen,
    run_follower,
    run_primary,
    wait_until_followed,
)
from vault.errors import UnavailableError
from vault.model.records import SecretRow
from vault.store import replicas
from vault.store.interface import FeedPosition
from vault.store.replicas import Replica, ReplicaSet
from vault.store.row_cache import DEFAULT, CacheConfig
from vault.store.server import Role, ServerBackend, run
from vault.store.store import NO_CACHE, Store, open_store
from vault.store.table import StoreQuery
from vault.store.tables import CHANGES, SECRETS, SYSTEM, VERSIONS

NAMES: Final = ("a", "b", "c", "d")
ENOUGH: Final = 2000  # reads
LONGEST: Final = 20.0  # seconds of a read beside a replica that is away, on a busy machine


@dataclass
class Followed:
    """A database, and a server that follows it."""

    server: Server
    port: int
    follower: Follower
    url: str
    now: list[float] = field(default_factory=lambda: [0.0])

    def backend(self, *servers: ServerBackend) -> ServerBackend:
        """Closed; with these replicas, or the one that follows. `now` is their clock."""
        copies = servers or (server_backend(self.follower.url(self.url)),)
        found = ReplicaSet(copies, 4, lambda: self.now[0])
        return server_backend(self.url, replicas=found)

    def pass_time(self) -> None:
        """Whatever was left alone is asked again."""
        self.now[0] += 100

    def wait(self) -> None:
        """Until the replica has all that there is."""
        wait_until_followed(self.server, self.follower, self.url)

    def run_on_replica(self, *statements: tuple[str, list[Any]]) -> None:
        """Statements of whoever has it, promoted."""
        connection = server_backend(self.follower.url(self.url)).connect_driver(Role.WRITE)
        for statement, values in statements:
            run(connection, statement, values)
        connection.close()


@contextmanager
def followed(kind: str) -> Iterator[Followed]:
    """A primary and a replica, and a database on both."""
    with run_primary(kind) as (server, port), run_follower(server, port) as follower:
        made = Followed(server, port, follower, server.empty())
        backend = server_backend(made.url)
        backend.open()
        backend.close()
        yield made


@pytest.fixture(scope="module", params=SERVERS)
def servers(request: pytest.FixtureRequest) -> Iterator[Followed]:
    """Of each kind, for the whole module."""
    with followed(request.param) as made:
        yield made


@pytest.fixture
def there(servers: Followed) -> Followed:
    """An empty database with its first commit stamp, which the replica has, too."""
    SharedServer(servers.url)
    servers.wait()
    servers.pass_time()
    return servers


@pytest.fixture(params=SERVERS)
def spent(request: pytest.FixtureRequest) -> Iterator[Followed]:
    """The same, with a replica for one test alone."""
    with followed(request.param) as made:
        SharedServer(made.url)
        made.wait()
        yield made


@asynccontextmanager
async def store_of(
    backend: ServerBackend, node: str, cache: CacheConfig = NO_CACHE, *, indexed: bool = True
) -> AsyncIterator[Store]:
    """A store that goes on from what is there; each read is one of the database."""
    backend.open()
    try:
        async with open_store(
            backend,
            StampGuard(),
            SystemWorld(),
            report=lambda _: None,
            cache=cache,
            stamper=stamper_of(backend, node),
            index=index_of_rows(backend) if indexed else None,
        ) as store:
            yield store
    finally:
        backend.close()


def answered(backend: ServerBackend) -> int:
    """Reads that a replica answered."""
    return backend.replica_statistics().reads


async def wait_for_replica(there: Followed, store: Store, backend: ServerBackend) -> None:
    """Until a replica answers; one that was too slow to is asked again."""
    before = answered(backend)
    with trio.fail_after(60):
        while answered(backend) == before:
            await store.get(SECRETS, "nothing")
            there.now[0] += 0.1


async def count_stale_reads(
    there: Followed, reader: Store, writer: Store, backend: ServerBackend
) -> int:
    """How many reads lacked what was acknowledged before, beside a replica that lags and follows.

    Rows by their key and by a query, in the same measure.
    """
    acknowledged = dict.fromkeys(NAMES, 0)
    stale = reads = 0
    chance = random.Random(7)  # noqa: S311
    done = False

    async def write() -> None:
        nonlocal done
        while reads < ENOUGH or not answered(backend) or not backend.replica_statistics().misses:
            await trio.to_thread.run_sync(there.follower.pause)
            for _ in range(3):
                name = chance.choice(NAMES)
                acknowledged[name] = await writer.commit(next_version(name))
                goal = reads + 20
                while reads < goal:
                    await trio.lowlevel.checkpoint()
                there.now[0] += 10
            await trio.to_thread.run_sync(there.follower.resume)
            await trio.to_thread.run_sync(there.wait)
            goal = reads + 100
            while reads < goal:
                await trio.lowlevel.checkpoint()
                there.now[0] += 0.01
        done = True

    async def read() -> None:
        nonlocal stale, reads
        while not done:
            name = chance.choice(NAMES)
            least = acknowledged[name]
            await reader.catch_up()
            found: SecretRow | None
            if chance.random() < 0.5:
                found = await reader.get(SECRETS, name)
            else:
                rows = await reader.select(SECRETS, StoreQuery(equals={"name": name}))
                found = rows[0] if rows else None
            reads += 1
            stale += (found.current_version if found else 0) < least

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        for _ in range(4):
            nursery.start_soon(read)
    return stale


@pytest.mark.parametrize("indexed", [True, False], ids=["index", "no index"])
@pytest.mark.parametrize("cache", [NO_CACHE, DEFAULT], ids=["no cache", "cache"])
async def test_no_read_is_stale(there: Followed, cache: CacheConfig, *, indexed: bool) -> None:
    """A replica that lags is not asked; by the number alone, whatever the row index would find."""
    backend = there.backend()
    async with (
        store_of(backend, "r", cache, indexed=indexed) as reader,
        store_of(server_backend(there.url), "w") as writer,
    ):
        assert await count_stale_reads(there, reader, writer, backend) == 0
        assert reader.finding is None


async def test_without_the_number_reads_are_stale(
    there: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the tests above could find one."""

    def begin(replica: Replica, connection: Any, position: FeedPosition) -> bool:
        replica.server.begin_at(connection, position.commits)
        return True

    monkeypatch.setattr(replicas, "_begin", begin)
    backend = there.backend()

    async def run_once() -> int:
        async with (
            store_of(backend, "r", indexed=False) as reader,
            store_of(server_backend(there.url), "w") as writer,
        ):
            await writer.commit(next_version("a"))
            await trio.to_thread.run_sync(there.wait)
            await wait_for_replica(there, reader, backend)
            await trio.to_thread.run_sync(there.follower.pause)
            number = await writer.commit(next_version("a"))
            await reader.catch_up()
            found = await reader.get(SECRETS, "a")
            assert found is not None
            await trio.to_thread.run_sync(there.follower.resume)
            return number - found.current_version

    assert await run_once() == 1


async def test_what_a_store_has_written_itself(there: Followed) -> None:
    """It is read back at once, and by the replica once it has it."""
    backend = there.backend()
    async with store_of(backend, "r") as store:
        for number in range(1, 51):
            assert await store.commit(next_version("a")) == number
            found = await store.get(SECRETS, "a")
            assert found is not None
            assert found.current_version == number
            there.now[0] += 10
        await trio.to_thread.run_sync(there.wait)
        before = answered(backend)
        await wait_for_replica(there, store, backend)
        assert len(await store.select(VERSIONS, StoreQuery(equals={"secret_id": "id-a"}))) == 50
        assert answered(backend) > before
        assert backend.replica_statistics().lag == 0


async def test_lag_is_counted(there: Followed) -> None:
    """In commits, for whoever watches it."""
    backend = there.backend()
    async with store_of(backend, "r") as store:
        await wait_for_replica(there, store, backend)
        there.follower.pause()
        for _ in range(5):
            await store.commit(next_version("a"))
        await store.get(SECRETS, "a")
        found = backend.replica_statistics()
        there.follower.resume()
        assert (found.lag, found.usable, found.replicas) == (5, 1, 1)


async def test_a_commit_that_is_not_known_yet(there: Followed) -> None:
    """A replica that shows it is asked once the database has shown it, too."""
    backend = there.backend()
    async with (
        store_of(backend, "r") as reader,
        store_of(server_backend(there.url), "w") as writer,
    ):
        await wait_for_replica(there, reader, backend)
        await writer.commit(put(SYSTEM, system("x")))
        await trio.to_thread.run_sync(there.wait)
        before = answered(backend)
        assert await reader.select_keys(SECRETS, StoreQuery()) == []
        assert answered(backend) == before
        await reader.catch_up()
        assert await reader.select_keys(SECRETS, StoreQuery()) == []
        assert answered(backend) == before + 1


async def test_system_rows_are_never_a_replicas(there: Followed) -> None:
    """Nothing proves that one is the last that we wrote."""
    backend = there.backend()
    async with store_of(backend, "r") as store:
        await store.commit(put(SYSTEM, system("keyring")))
        await trio.to_thread.run_sync(there.wait)
        await wait_for_replica(there, store, backend)
        before = answered(backend)
        assert await store.get(SYSTEM, "keyring") == system("keyring")
        assert await store.select(SYSTEM, StoreQuery(equals={"name": "keyring"}))
        assert answered(backend) == before


async def test_killed_and_back(there: Followed) -> None:
    """No read fails or waits; it is asked again after a pause, with new connections."""
    backend = there.backend()
    async with store_of(backend, "r") as store:
        await store.commit(put(SECRETS, secret("a")))
        await trio.to_thread.run_sync(there.wait)
        await wait_for_replica(there, store, backend)
        await trio.to_thread.run_sync(there.follower.server.stop)
        for _ in range(3):
            began = time.monotonic()
            assert await store.get(SECRETS, "a") is not None
            assert time.monotonic() - began < LONGEST
            there.pass_time()
        assert backend.replica_statistics().usable == 0
        await trio.to_thread.run_sync(there.follower.start)
        await trio.to_thread.run_sync(there.wait)
        with trio.fail_after(30):
            while not backend.replica_statistics().usable:
                there.pass_time()
                assert await store.get(SECRETS, "a") is not None
        await wait_for_replica(there, store, backend)


async def test_away_at_the_start(there: Followed, caplog: pytest.LogCaptureFixture) -> None:
    """The store opens, the log says which replica it is and why, without the password."""
    there.follower.server.stop()
    backend = there.backend()
    try:
        async with store_of(backend, "r") as store:
            await store.commit(put(SECRETS, secret("a")))
            assert await store.get(SECRETS, "a") is not None
            with trio.fail_after(30):
                while "a replica cannot be used" not in caplog.text:
                    assert await store.get(SECRETS, "a") is not None
    finally:
        there.follower.start()
    assert there.follower.server.folder.name in caplog.text


async def test_one_that_hangs(there: Followed) -> None:
    """A reader waits for about a second, once; those after it not at all."""
    backend = there.backend()
    async with store_of(backend, "r") as store:
        await store.commit(put(SECRETS, secret("a")))
        await trio.to_thread.run_sync(there.wait)
        await wait_for_replica(there, store, backend)
        frozen = there.follower.freeze()
        try:
            began = time.monotonic()
            assert await store.get(SECRETS, "a") is not None
            first = time.monotonic() - began
            for _ in range(50):
                assert await store.get(SECRETS, "a") is not None
            assert first < LONGEST
            assert time.monotonic() - began < 2 * LONGEST
            assert backend.replica_statistics().usable == 0
        finally:
            continue_frozen(frozen)


async def test_promoted_and_lying(spent: Followed) -> None:
    """One that was promoted, then set back by hand under the newest number of the feed.

    A row that was put back, one that was hidden, one that was damaged: each is read as it is in the
    database, and nothing is found to be tampered with.
    """
    backend = spent.backend()
    async with store_of(backend, "r") as store:
        for name in ("old", "gone", "damaged"):
            await store.commit(next_version(name))
        await trio.to_thread.run_sync(spent.wait)
        await wait_for_replica(spent, store, backend)
        await trio.to_thread.run_sync(spent.follower.promote)
        await store.commit(next_version("old"))
        await store.commit(next_version("gone"))
        entry = (await store.select(CHANGES, StoreQuery()))[-1]
        await trio.to_thread.run_sync(
            spent.run_on_replica,
            (
                "INSERT INTO changes (seq, node, changes, chain) VALUES (%s, %s, %s, %s)",
                [entry.seq, entry.node, entry.changes, entry.chain],
            ),
            ("DELETE FROM secret_versions WHERE secret_id = 'id-gone'", []),
            ("DELETE FROM secrets WHERE name = 'gone'", []),
            ("UPDATE secrets SET created_by = 'somebody' WHERE name = 'damaged'", []),
        )
        spent.pass_time()
        await wait_for_replica(spent, store, backend)
        before = answered(backend)
        for _ in range(20):
            old, gone, damaged = [
                await store.get(SECRETS, name) for name in ("old", "gone", "damaged")
            ]
            assert old is not None
            assert gone is not None
            assert damaged is not None
            assert (old.current_version, gone.current_version) == (2, 2)
            assert damaged.created_by == "u1"
            rows = await store.select(SECRETS, StoreQuery())
            assert [row.current_version for row in rows] == [1, 2, 2]
            assert len(await store.select_all(VERSIONS)) == 5
            spent.pass_time()
        assert answered(backend) > before, "it was asked, and its lies were found"
        assert store.finding is None


async def test_another_history(spent: Followed, caplog: pytest.LogCaptureFixture) -> None:
    """One that was promoted and written to by an agent of the same vault has other commits."""
    backend = spent.backend()
    async with store_of(backend, "r") as store:
        await store.commit(put(SECRETS, secret("a")))
        await trio.to_thread.run_sync(spent.wait)
        await wait_for_replica(spent, store, backend)
        await trio.to_thread.run_sync(spent.follower.promote)
        copy = server_backend(spent.follower.url(spent.url))
        async with store_of(copy, "fork") as fork:
            for _ in range(3):
                await fork.commit(put(SECRETS, secret("a", created_by="fork")))
        await store.commit(put(SECRETS, secret("b")))
        before = answered(backend)
        for _ in range(10):
            found = await store.get(SECRETS, "a")
            assert found is not None
            assert found.created_by == "u1"
            spent.pass_time()
        assert answered(backend) == before
        assert "it is no copy of this database" in caplog.text
        await trio.to_thread.run_sync(spent.server.stop)
        with pytest.raises(UnavailableError):  # however new a replica is: the database is asked
            await store.catch_up()


async def test_a_replica_of_no_vault(there: Followed) -> None:
    """An empty database, one that is not there, and the database itself, which may be named."""
    url = there.server.empty()
    nowhere = server_backend(url.replace(f"/{database_name(url)}?", "/nowhere?"))
    backend = there.backend(server_backend(url), nowhere, server_backend(there.url))
    async with store_of(backend, "r") as store:
        await store.commit(put(SECRETS, secret("a")))
        with trio.fail_after(30):
            while answered(backend) < 10:
                assert await store.get(SECRETS, "a") is not None
                there.pass_time()
        found = backend.replica_statistics()
        assert found.replicas == 3
        assert found.usable <= 1
