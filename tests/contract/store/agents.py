"""Several agents on one database, as far as they are above the store and below the pipeline."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors import SystemWorld
from tests.support.databases import remove_rows, server_backend
from vault.authn.credential_usage import CredentialUsage
from vault.authn.revocation import Revoker
from vault.authn.stream_registry import StreamRegistry
from vault.authn.tokens import Tokens
from vault.authz.authorizer import Authorizer
from vault.authz.policy_store import PolicyStore
from vault.barrier import KEYRING_ROW, Barrier, HmacRowGuard, VaultTx
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.keyring import Keyring
from vault.handlers.access_counters import AccessCounters
from vault.handlers.consumer_recorder import ConsumerRecorder
from vault.handlers.handler import Call
from vault.handlers.metadata import MetadataHandlers
from vault.handlers.mounts import MountHandlers
from vault.handlers.read_limits import ReadLimits
from vault.handlers.secrets import SecretHandlers
from vault.handlers.stores import (
    AccessStore,
    ConsumerStore,
    KeyStore,
    MountStore,
    RotationStore,
    SecretStore,
)
from vault.model.identity import Identity, Method
from vault.model.mounts import MountTable
from vault.model.operation import NO_FACTS, Operation, OperationType, Origin, SecretFacts
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing, WriteMount
from vault.model.records import SecretRow, SystemRow, VersionRow
from vault.seal.anchor.commit_stamp import CommitStampWriter, StampBase
from vault.seal.anchor.row_totals import require_searched_rows, sum_rows
from vault.seal.anchor.state import CommitStamp, decode_state
from vault.seal.bootstrap import BackendSystemTable
from vault.seal.bound_keys import PepperedScheme
from vault.seal.manager import SEAL_ROW
from vault.seal.seal_record import SealRecord
from vault.store.interface import StoreBackend
from vault.store.memory import MemoryBackend
from vault.store.row_index import RowIndex, RowIndexBuilder
from vault.store.sqlite import SqliteBackend
from vault.store.store import Store, open_store
from vault.store.tables import HEAD_ROW, SECRETS, SYSTEM, VERSIONS

NOW = 1_800_000_000 * 10**9
ROOT_KEY = bytes(range(32))
ROOT = Identity(id="root", name="root", method=Method.TOKEN, policies=("root",), credential="acc")
HERE = Origin(ip="10.0.0.1")
KINDS = ("memory", "sqlite", "postgresql", "mysql")


class SharedMemory(MemoryBackend):
    """One that several stores write."""

    exclusive = False


class SharedSqlite(SqliteBackend):
    """One that several stores write: for them it is a database of others."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.exclusive = False


class Database:
    """A database that agents open: each with a backend of its own, where it is on a server."""

    def __init__(self, kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        self._url = ""
        self._shared: StoreBackend | None = None
        if kind in {"memory", "sqlite"}:
            file = f"sqlite:///{tmp_path}/vault.db"
            self._shared = SharedMemory() if kind == "memory" else SharedSqlite(file)
            self._shared.open()
        else:
            self._url = request.getfixturevalue(f"{kind}_url")
            remove_rows(server_backend(self._url))

    @contextmanager
    def backend(self) -> Iterator[StoreBackend]:
        """An open one."""
        if self._shared is not None:
            yield self._shared
            return
        backend = server_backend(self._url)
        backend.open()
        try:
            yield backend
        finally:
            backend.close()

    def close(self) -> None:
        """Nobody has it any more."""
        if self._shared is not None:
            self._shared.close()


@dataclass
class Agent:
    """One of several that have the vault open."""

    store: Store
    barrier: Barrier
    policies: PolicyStore
    mounts: MountHandlers
    tokens: Tokens
    access: AccessCounters
    usage: CredentialUsage
    secrets: SecretHandlers
    metadata: MetadataHandlers
    keys: KeyStore

    async def catch_up(self) -> None:
        """What each request begins with."""
        await self.store.catch_up()
        for snapshot in (self.policies, self.mounts.snapshot, self.barrier):
            if snapshot.is_stale:
                await snapshot.refresh()

    async def put(
        self, secret_id: str, number: int = 1, *, more: int = 0, value: bytes = b'"v"'
    ) -> VersionRow:
        """A version of a secret; `more` encryptions come to nothing."""

        def change(tx: VaultTx) -> VersionRow:
            for _ in range(more):
                tx.seal(secret_id, number, value)
            wrapped, box, generation = tx.seal(secret_id, number, value)
            row = VersionRow(
                secret_id=secret_id, version=number, wrapped_dek=wrapped, box=box,
                kek_generation=generation, created_at=NOW, created_by="x",
            )  # fmt: skip
            if tx.get(SECRETS, f"s/{secret_id}") is None:
                tx.put(SECRETS, head(secret_id))
            tx.put(VERSIONS, row)
            return row

        return await self.barrier.transact(change, max_encryptions=1 + more)

    async def read(self, secret_id: str, number: int = 1) -> bytes:
        """The value of a version, as a request that has caught up reads it."""
        row = await self.barrier.get_version(secret_id, number)
        assert row is not None
        return self.barrier.open_value(row)

    async def stored_uses(self, generation: int = 1) -> int:
        """The stored number of uses."""
        row = await self.store.get(SYSTEM, f"kek-uses/{generation}")
        return 0 if row is None else int.from_bytes(row.value)

    async def mount(self, path: str) -> None:
        """A mount."""
        await self.mounts.create(ResourcePath.parse_folder(path), WriteMount())


def head(secret_id: str) -> SecretRow:
    """Of a secret."""
    name = f"s/{secret_id}"
    return SecretRow(name=name, id=secret_id, created_at=NOW, updated_at=NOW, created_by="x")


def call(path: str, payload: Any = None, *, exists: bool = False) -> Call[Any]:
    """What a handler is called with."""
    folder = path.endswith("/")
    place = ResourcePath.parse_folder(path) if folder else ResourcePath.parse(path)
    op = Operation(
        type=OperationType("x"), path=place, payload=Nothing() if payload is None else payload,
        request_id="r", credential=None, origin=HERE,
    )  # fmt: skip
    return Call(op, ROOT, SecretFacts(exists=True) if exists else NO_FACTS, needs_facts=False)


def first_rows(keyring: Keyring, root_key: bytes = ROOT_KEY) -> list[SystemRow]:
    """Seal and keyring, as an initialization stores them."""
    seal = SealRecord(
        type="shamir", shares=1, threshold=1, org=keyring.org, vault=keyring.vault, created_at=NOW
    )
    return [
        SystemRow(name=SEAL_ROW, value=msgspec.json.encode(seal)),
        SystemRow(name=KEYRING_ROW, value=keyring.encode(root_key)),
    ]


class Agents:
    """Opens agents of one vault on one database, each in a task of its own."""

    def __init__(self, database: Database, nursery: trio.Nursery) -> None:
        self.database = database
        self.keyring = Keyring.create(NOW, org="o", vault="v")
        self.world = SystemWorld()
        self._nursery = nursery
        self._over = trio.Event()
        self._number = 0

    def close(self) -> None:
        """End them all."""
        self._over.set()

    async def initialize(self) -> None:
        """Store the first rows."""
        with self.database.backend() as backend:
            system = BackendSystemTable(backend, self.world)
            await system.create_vault(self.keyring, first_rows(self.keyring), None)

    async def open(self, root_key: bytes = ROOT_KEY) -> Agent:
        """One more, with the keyring as it is stored; it is closed at the end of the test."""
        self._number += 1
        agent: Agent = await self._nursery.start(
            partial(self._run, root_key, f"node-{self._number}")
        )
        return agent

    async def _run(
        self,
        root_key: bytes,
        node: str,
        task_status: trio.TaskStatus[Agent] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        with self.database.backend() as backend:
            async with _agent(backend, self, root_key, node) as agent:
                task_status.started(agent)
                await self._over.wait()


@asynccontextmanager
async def _agent(
    backend: StoreBackend, agents: Agents, root_key: bytes, node: str
) -> AsyncIterator[Agent]:
    world, first = agents.world, agents.keyring
    keys, guard = DerivedAnchorKeys(first), HmacRowGuard(first)
    rows = RowIndexBuilder()
    with backend.read() as session:
        stamp_row = session.get(SYSTEM, (HEAD_ROW,))
        keyring_row = session.get(SYSTEM, (KEYRING_ROW,))
        assert stamp_row is not None
        assert keyring_row is not None
        stamp = decode_state(stamp_row.value, CommitStamp, keys)
        base = StampBase(stamp.commits, sum_rows(session, keys, rows), stamp.feed)
        require_searched_rows(session, guard, rows)
    keyring = Keyring.decode(root_key, keyring_row.value, org=first.org, vault=first.vault)
    stamper = CommitStampWriter(keys, base=base, written=stamp_row.value, node=node)
    index = RowIndex(rows)
    async with open_store(
        backend, guard, world, stamper=stamper, index=index, report=lambda _: None
    ) as store:
        barrier = Barrier(store, keyring, root_key, world)
        await barrier.load_use_counter()
        policies = PolicyStore(store, world)
        await policies.reload()
        mounts = MountHandlers(MountStore(barrier), MountTable(), Authorizer(policies), world)
        await mounts.snapshot.reload()
        access = AccessCounters(AccessStore(barrier), world)
        recorder = ConsumerRecorder(ConsumerStore(barrier), world, node or "alone", 0)
        limits = ReadLimits(RotationStore(barrier), AccessStore(barrier), world)
        yield Agent(
            store,
            barrier,
            policies,
            mounts,
            Tokens(
                store,
                PepperedScheme(first.pepper),
                Revoker(store, StreamRegistry(), world.now),
                world,
            ),
            access,
            CredentialUsage(store, world),
            SecretHandlers(SecretStore(barrier), mounts.mounts, access, recorder, limits, world),
            MetadataHandlers(SecretStore(barrier), mounts.mounts, access, world),
            KeyStore(barrier),
        )
