"""A backup manager over a small vault, with clocks that are told what to say."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, BinaryIO, cast

import trio

from actors.testing import FakeWorld
from protocols.instant import DAY
from tests.contract.store.samples import put, secret
from tests.support.memory_destination import MemoryDestination
from tests.support.vaults import MADE, ROOT_KEY, Vault
from vault.audit.record import AuditEvent
from vault.backup.catalog import Catalog, read_catalog
from vault.backup.keys import VaultKeys
from vault.backup.manager import BackupManager, BackupParts, BackupPlan
from vault.cluster.leases import Leases
from vault.errors import UnavailableError
from vault.model.backup_runs import CreateBackup, RunRequester, RunState
from vault.store.store import Store
from vault.store.table import Table
from vault.store.tables import SECRETS
from vault.store.transaction import StoreTx

BY = RunRequester(
    request_id="request", id="service:backup", name="service:backup", method="service"
)
NODE = "0197-node"
START = MADE + 10 * DAY


class ThreadWorld(FakeWorld):
    """Its threads are real, as a cancellation is seen in one."""

    async def run_sync(
        self,
        fn: Callable[..., Any],
        *args: object,
        limiter: trio.CapacityLimiter | None = None,
        abandon_on_cancel: bool = False,
    ) -> Any:
        """Trio's."""
        return await trio.to_thread.run_sync(
            fn, *args, limiter=limiter, abandon_on_cancel=abandon_on_cancel
        )


class VaultStore:
    """What the manager asks of a store, of a vault without an agent."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def commit(self, change: Callable[[StoreTx], Any]) -> None:
        """One transaction."""
        self._vault.commit(change)

    async def get(self, table: Table[Any], *key: str | int) -> Any:
        """A row."""
        with self._vault.backend.read() as session:
            return session.get(table, key)


class Place(MemoryDestination):
    """One that can fail, keep objects locked, and stop in the midst of writing."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False
        self.locked: set[str] = set()
        self.on_write: Callable[[], None] = lambda: None
        self.on_remove: Callable[[], None] = lambda: None

    @contextmanager
    def create(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """Unless it fails."""
        self._require()
        with super().create(name) as write:

            def watched(data: bytes) -> None:
                self.on_write()
                write(data)

            yield watched

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Unless it fails."""
        self._require()
        return super().open(name)

    def names(self) -> list[str]:
        """Unless it fails."""
        self._require()
        return super().names()

    def remove(self, name: str) -> None:
        """Unless it fails, or the object is locked."""
        self._require()
        self.on_remove()
        if name in self.locked:
            raise UnavailableError("backup_unavailable", f"{name} is locked")
        super().remove(name)

    def _require(self) -> None:
        if self.fails:
            raise UnavailableError("backup_unavailable", "the place is away")


class Managed:
    """A vault, its destinations, and a manager that can be started again."""

    def __init__(self, vault: Vault, places: dict[str, Place], **plan: Any) -> None:
        self.vault = vault
        self.places = places
        self.world = ThreadWorld(START)
        self.keys = VaultKeys(vault.keyring)
        self.events: list[AuditEvent] = []
        self.numbers = 0
        settings = {
            "enabled": True,
            "schedule": "0 2 * * *",
            "full_interval": 7 * DAY,
            "keep_count": 14,
            "keep_age": 30 * DAY,
            "recipients": (),
        }
        self.proven: int | None = None  # what was restored as a test; None: nothing tests
        self.is_test_failed = False
        self.root_key = ROOT_KEY
        self.plan = BackupPlan(**(settings | plan), destinations=dict(places))
        self.manager = self.new_manager()

    def new_manager(self) -> BackupManager:
        """As after a start; nothing is remembered but what is stored."""
        store = cast("Store", VaultStore(self.vault))
        return BackupManager(
            BackupParts(
                plan=self.plan,
                backend=self.vault.backend,
                keys=self.keys,
                store=store,
                leases=Leases(store, self.world, shared=False),
                world=self.world,
                record=self._record,
                node=NODE,
                root_key=lambda: self.root_key,
                proven=lambda: self.proven,
                is_test_failed=lambda: self.is_test_failed,
            )
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[BackupManager]:
        """A new start, for the length of the block."""
        self.manager = self.new_manager()
        async with self.manager.serve():
            yield self.manager

    def change(self) -> None:
        """Commit something."""
        self.numbers += 1
        self.vault.commit(put(SECRETS, secret(f"secret/changed-{self.numbers}")))

    async def back_up(self, *names: str, full: bool = False) -> RunState:
        """A run, to its end."""
        begun = await self.manager.start(CreateBackup(destinations=names, full=full), BY)
        return await self.wait(begun)

    async def wait(self, run: RunState) -> RunState:
        """Until it has ended."""
        while not run.ended:
            await trio.lowlevel.checkpoint()
            run = self.manager.read_run(run.id)
        return run

    async def tick(self) -> RunState | None:
        """What the job does at its time; None: nothing was due."""
        due = await self.manager.find_due()
        return await self.back_up(*due) if due else None

    def catalog(self, name: str) -> Catalog:
        """What a destination holds, read anew."""
        return read_catalog(self.places[name], self.keys, Catalog())

    async def _record(self, event: AuditEvent) -> None:
        self.events.append(event)
