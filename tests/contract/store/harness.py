"""A store as the tests want it, and a way to make one batch of many commits."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from actors import SystemWorld, World
from tests.contract.store.samples import StampGuard
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.keyring import Keyring
from vault.seal.anchor.commit_stamp import CommitStampWriter, StampBase
from vault.seal.anchor.row_totals import require_searched_rows, sum_rows
from vault.seal.anchor.state import CommitStamp, decode_state
from vault.store.interface import StoreBackend, StoreSession, WriteSet
from vault.store.row_index import RowIndex, RowIndexBuilder
from vault.store.shared_head import SharedHead
from vault.store.store import Store, open_store
from vault.store.tables import HEAD_ROW, SYSTEM
from vault.store.transaction import StoreTx, TransactionBatch

KEYRING = Keyring.create(1, org="o", vault="v")
KEYS = DerivedAnchorKeys(KEYRING)


def index_of_rows(backend: StoreBackend, keys: DerivedAnchorKeys = KEYS) -> RowIndex:
    """Of what is stored, made as at an opening."""
    rows = RowIndexBuilder()
    with backend.read() as session:
        sum_rows(session, keys, rows)
        require_searched_rows(session, StampGuard(), rows)
    return RowIndex(rows)


def first_stamp(backend: StoreBackend) -> CommitStampWriter:
    """Count the commits from here on: a transaction that has nothing but its stamp is the first."""
    with backend.read() as session:
        base = StampBase(0, sum_rows(session, KEYS))
    stamper = CommitStampWriter(KEYS, base=base, written=b"")

    def apply(session: StoreSession) -> WriteSet:
        batch = TransactionBatch(session, StampGuard(), None)
        stamper.stamp(batch)
        return batch.write_set()

    backend.write(apply)
    stamper.on_durable()
    return stamper


def cached(backend: StoreBackend) -> dict[str, Any]:
    """Options of a store that caches: where others may write, it has to follow the change feed."""
    return {} if backend.exclusive else {"stamper": first_stamp(backend)}


@asynccontextmanager
async def opened(backend: StoreBackend, **options: Any) -> AsyncIterator[Store]:
    """A store over real threads; failures of the writer are expected."""
    options = {"report": lambda _: None} | options
    async with open_store(backend, StampGuard(), SystemWorld(), **options) as store:
        yield store


def stamper_of(
    backend: StoreBackend, node: str, keys: DerivedAnchorKeys = KEYS
) -> CommitStampWriter:
    """What counts on from what is stored."""
    with backend.read() as session:
        row = session.get(SYSTEM, (HEAD_ROW,))
        assert row is not None
        stamp = decode_state(row.value, CommitStamp, keys)
        totals = sum_rows(session, keys)
    base = StampBase(stamp.commits, totals, stamp.feed)
    return CommitStampWriter(keys, base=base, written=row.value, node=node)


@asynccontextmanager
async def following(
    backend: StoreBackend,
    node: str,
    world: World | None = None,
    *,
    head: SharedHead | None = None,
    keys: DerivedAnchorKeys = KEYS,
) -> AsyncIterator[Store]:
    """One more store on a database that others have open, too: it goes on from what is there."""
    async with open_store(
        backend,
        StampGuard(),
        world or SystemWorld(),
        report=lambda _: None,
        stamper=stamper_of(backend, node, keys),
        index=index_of_rows(backend, keys),
        head=head,
    ) as store:
        yield store


async def together(store: Store, *changes: Callable[[StoreTx], Any]) -> list[Any]:
    """Commit all as one batch, in this order; what each returned or raised."""
    outcomes: list[Any] = [None] * len(changes)
    all_are_there = threading.Event()

    async def commit(i: int) -> None:
        try:
            outcomes[i] = await store.commit(changes[i])
        except Exception as error:  # noqa: BLE001  # the outcome is what the test looks at
            outcomes[i] = error

    async with trio.open_nursery() as nursery:
        # Whoever comes while a batch is written joins the next: so one is held until all have come.
        nursery.start_soon(store.commit, lambda _: all_are_there.wait(60))
        for i in range(len(changes)):
            await wait_all_tasks_blocked()
            nursery.start_soon(commit, i)
        await wait_all_tasks_blocked()
        all_are_there.set()
    return outcomes
