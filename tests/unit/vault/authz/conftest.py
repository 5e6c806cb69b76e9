"""What the tests of authorization share: a store over the in-memory backend, and an access."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from tests.support.no_guard import NoGuard
from vault.authz.access import AccessRequest
from vault.model.identity import Identity, Method
from vault.model.operation import NO_FACTS, Capability, Origin, SecretFacts
from vault.model.path import ResourcePath
from vault.store.memory import MemoryBackend
from vault.store.table import StoreQuery, Table
from vault.store.transaction import StoreTx, transact

NOW = 1_800_000_000 * 10**9  # Friday 2027-01-15 08:00 UTC


def caller(name: str, *policies: str) -> Identity:
    """Somebody with these policies; without any, root."""
    return Identity(id=name, name=name, method=Method.TOKEN, policies=policies or ("root",))


class _DirectStore:
    """The store's interface straight onto a backend; `after_commit` may raise."""

    def __init__(self) -> None:
        self.backend = MemoryBackend()
        self.after_commit: Callable[[], None] = lambda: None
        self.commits = 0

    def count_transactions(self, _table: Table[Any]) -> int:
        return self.commits

    async def get(self, table: Table[Any], *key: str | int) -> Any:
        with self.backend.read() as session:
            return session.get(table, key)

    async def select(self, table: Table[Any], query: StoreQuery) -> list[Any]:
        with self.backend.read() as session:
            return session.select(table, query)

    async def select_all(self, table: Table[Any]) -> list[Any]:
        found: list[Any] = []
        while page := await self.select(
            table, StoreQuery(after=table.key_of(found[-1]) if found else None)
        ):
            found += page
        return found

    async def commit(self, change: Callable[[StoreTx], Any]) -> Any:
        try:
            result = transact(self.backend, change, NoGuard())
        finally:
            self.commits += 1
        self.after_commit()
        return result


class _FixedWorld:
    """A clock that stands still and ids that count."""

    def __init__(self) -> None:
        self.time = NOW
        self.ids = 0

    def now(self) -> int:
        return self.time

    def new_id(self) -> str:
        self.ids += 1
        return f"id-{self.ids}"

    def new_request_id(self) -> str:
        return self.new_id()

    async def run_sync(self, fn: Callable[..., Any], *args: object, limiter: object = None) -> Any:
        """Inline, as the simulation has it."""
        assert limiter is None or isinstance(limiter, trio.CapacityLimiter)
        await trio.lowlevel.checkpoint()
        return fn(*args)


@pytest.fixture
def store() -> _DirectStore:
    """An empty store."""
    return _DirectStore()


@pytest.fixture
def world() -> _FixedWorld:
    """A world whose clock the test moves."""
    return _FixedWorld()


@pytest.fixture
def make_access() -> Callable[..., AccessRequest]:
    """Build an access from a capability, a path and what else matters."""

    def make(
        capability: str = "read",
        path: str = "secret/app/db",
        *,
        identity: Identity | None = None,
        ip: str = "10.1.2.3",
        facts: SecretFacts = NO_FACTS,
        now: int = NOW,
        **who: Any,
    ) -> AccessRequest:
        who = {"id": "u1", "name": "ann", "method": Method.TOKEN} | who
        folder = path == "" or path.endswith("/")
        return AccessRequest(
            capability=Capability(capability),
            path=ResourcePath.parse_folder(path) if folder else ResourcePath.parse(path),
            identity=identity or Identity(**who),
            origin=Origin(ip=ip),
            facts=facts,
            now=now,
        )

    return make
