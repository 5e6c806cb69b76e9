"""Several agents that begin on one database at once: one makes the tables, one makes the vault."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from threading import Barrier as Meeting
from threading import Thread

import pytest
import trio

from actors import SystemWorld
from tests.contract.store.agents import KINDS, Database, first_rows
from tests.support.databases import Server, server_backend
from vault.crypto.keyring import Keyring
from vault.errors import ConflictError
from vault.model.mounts import MountTable
from vault.seal.bootstrap import BackendSystemTable
from vault.seal.configured_seal import SHARES, ConfiguredSeals
from vault.seal.manager import Core, InitResult, SealManager
from vault.store.interface import BackendError, ConstraintError, StoreBackend, WriteSet
from vault.store.server import MIGRATION_LOCK, Role
from vault.store.table import StoreQuery
from vault.store.tables import CHANGES, SYSTEM, TOKENS

AT_ONCE = 3


class Opened:
    """The data path of an agent that has nothing to do."""

    def __init__(self) -> None:
        self.vaults: list[str] = []

    @asynccontextmanager
    async def open(
        self, keyring: Keyring, _key: bytes, _by_operator: bool, _break_glass: object
    ) -> AsyncIterator[Core]:
        """One without operations."""
        self.vaults.append(keyring.vault)
        yield Core(None, MountTable())  # type: ignore[arg-type]  # nothing is asked of it


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty one of each kind."""
    made = Database(request.param, request, tmp_path)
    yield made
    made.close()


async def test_one_of_several_that_initialize_at_once_makes_the_vault(database: Database) -> None:
    """The others are told as whoever comes later, and the shares that were returned open all."""
    met, there = trio.Event(), []

    async def meet() -> None:
        """All have found that there is no vault."""
        there.append(1)
        if len(there) == AT_ONCE:
            met.set()
        await met.wait()

    made: list[InitResult] = []
    refused: list[str] = []
    managers: list[SealManager] = []
    opened = Opened()

    async def initialize(backend: StoreBackend, nursery: trio.Nursery) -> None:
        world = SystemWorld()
        manager = SealManager(
            system_table=BackendSystemTable(backend, world), open_core=opened.open,
            seals=ConfiguredSeals(SHARES), org="org", world=world, check_paths=meet,
        )  # fmt: skip
        managers.append(manager)
        await nursery.start(manager.run_until_cancelled)
        try:
            made.append(await manager.initialize(1, 1))
        except ConflictError as error:
            refused.append(error.code)

    with database.backend() as one, database.backend() as two, database.backend() as three:
        async with trio.open_nursery() as serving:
            async with trio.open_nursery() as nursery:
                for backend in (one, two, three):
                    nursery.start_soon(initialize, backend, serving)
            assert len(made) == 1
            assert refused == ["initialized"] * (AT_ONCE - 1)
            with one.read() as session:
                assert len(session.select(TOKENS, StoreQuery())) == 1
            for manager in managers:
                assert manager.status().initialized
                assert not (await manager.unseal(made[0].shares[0])).sealed
            assert len(set(opened.vaults)) == 1
            assert len(opened.vaults) == AT_ONCE
            serving.cancel_scope.cancel()


async def test_a_vault_is_not_made_over_one_that_was_not_seen(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The constraint of the database has the last word."""
    keyrings = [Keyring.create(1, org="o", vault=name) for name in ("a", "b")]
    with database.backend() as backend:
        system = BackendSystemTable(backend, SystemWorld())
        await system.create_vault(keyrings[0], first_rows(keyrings[0]), None)
        before = await system.load_rows()
        oldest = WriteSet(deletes={CHANGES: [(1,)]})  # which are not kept for ever
        backend.write(lambda _: oldest)
        monkeypatch.setattr("vault.store.transaction.StoreTx.get", lambda *_: None)
        with pytest.raises(ConflictError) as caught:
            await system.create_vault(keyrings[1], first_rows(keyrings[1]), None)
        assert not isinstance(caught.value, ConstraintError)
        assert caught.value.code == "initialized"
        assert await system.load_rows() == before


def test_agents_that_migrate_at_once(server: Server) -> None:
    """One makes the tables while the others wait; each finds them as they should be."""
    url = server.empty()
    meeting = Meeting(AT_ONCE)
    backends = [server_backend(url) for _ in range(AT_ONCE)]
    failures: list[BaseException] = []

    def open_it(number: int) -> None:
        meeting.wait()
        try:
            backends[number].open()
        except BaseException as error:  # noqa: BLE001  # asserted below
            failures.append(error)

    threads = [Thread(target=open_it, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for backend in backends:
        backend.check()
        with backend.read() as session:
            assert session.select(SYSTEM, StoreQuery()) == []
        backend.close()


def test_a_migration_that_does_not_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody migrates beside it; the agent says what it waits for."""
    monkeypatch.setattr("vault.store.server.MIGRATION_TRIES", 1)
    backend = server_backend(server.empty())
    with closing(backend.connect_driver(Role.LOCK)) as other:
        assert backend.try_lock(other, MIGRATION_LOCK, wait=False)
        with pytest.raises(BackendError, match="is migrating") as caught:
            backend.open()
        assert caught.value.code == "store_locked"
    backend.open()
    backend.close()
