"""Forced overlaps of lease holders: two agents that both believe they have the same lease.

    python -m tests.contract.store.lease_overlaps 10000 [postgresql …]

runs so many on each kind of database, with the check and without it, and prints what was found.
"""

import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

import msgspec
import trio

from actors import SystemWorld
from tests.contract.store.harness import first_stamp, following
from tests.support.databases import SERVERS, run_server, server_backend
from tests.support.shared_files import SharedMemory, SharedSqlite
from vault.cluster.leases import FencedError, Lease, Leases
from vault.model.records import SystemRow
from vault.store.fencing import fence_transactions
from vault.store.interface import StoreBackend
from vault.store.store import Store
from vault.store.tables import LEASES, SYSTEM
from vault.store.transaction import StoreTx

KINDS: Final = ("memory", "sqlite", *SERVERS)
LANES: Final = 16  # leases whose holders overlap at the same time
AGENTS: Final = 3


@dataclass
class Overlaps:
    """What was found."""

    rounds: int = 0
    refused: int = 0
    effects: int = 0
    stale: int = 0


class Ledger(msgspec.Struct, frozen=True):
    """What the database itself says of the effects of one lease's holders."""

    effects: int = 0
    newest: int = 0
    stale: int = 0


@dataclass(frozen=True)
class Agent:
    """A store, and its leases."""

    store: Store
    leases: Leases

    async def take(self, name: str) -> Lease:
        """A lease that is expired as soon as it is taken."""
        return (await self.leases.claim([name]))[name]

    async def act(self, lease: Lease, found: Overlaps, *, checked: bool) -> None:
        """An effect of a holder that has not looked at its clock: it was paused in between."""
        try:
            with fence_transactions(lease.fence) if checked else nullcontext():
                await self.store.commit(partial(note_effect, lease=lease))
        except FencedError:
            found.refused += 1
        else:
            found.effects += 1


def note_effect(tx: StoreTx, lease: Lease) -> None:
    """Count an effect, and whether another holder had taken the lease, or acted, before it."""
    ledger, row = read_ledger(tx, lease.name), tx.get(LEASES, lease.name)
    assert row is not None
    ledger = Ledger(
        ledger.effects + 1,
        max(ledger.newest, lease.epoch),
        ledger.stale + (lease.epoch < max(ledger.newest, row.epoch)),
    )
    tx.put(SYSTEM, SystemRow(name=f"ledger/{lease.name}", value=msgspec.msgpack.encode(ledger)))


def read_ledger(tx: StoreTx, name: str) -> Ledger:
    """What there is of one lease."""
    row = tx.get(SYSTEM, f"ledger/{name}")
    return Ledger() if row is None else msgspec.msgpack.decode(row.value, type=Ledger)


async def force_overlaps(
    stores: list[Store], rounds: int, seed: int, *, checked: bool = True
) -> Overlaps:
    """So many, shared out to `LANES` leases. `checked`: whether effects are fenced."""
    found = Overlaps()
    world = SystemWorld()
    agents = [Agent(store, Leases(store, world, shared=True, duration=0.0)) for store in stores]
    names = [f"{seed}/{lane}" for lane in range(LANES)]
    async with trio.open_nursery() as nursery:
        for number, name in enumerate(names):
            share = (rounds + LANES - 1 - number) // LANES
            chance = random.Random(f"{seed}/{number}")  # noqa: S311  # repeats
            nursery.start_soon(
                partial(_overlap, agents, name, share, found, chance, checked=checked)
            )
    ledgers = [await stores[0].commit(partial(read_ledger, name=name)) for name in names]
    assert sum(ledger.effects for ledger in ledgers) == found.effects, "lost, or done twice"
    found.stale = sum(ledger.stale for ledger in ledgers)
    return found


async def _overlap(
    agents: list[Agent],
    name: str,
    rounds: int,
    found: Overlaps,
    chance: random.Random,
    *,
    checked: bool,
) -> None:
    holder = chance.choice(agents)
    lease = await holder.take(name)
    for _ in range(rounds):
        taker = chance.choice([one for one in agents if one is not holder])
        took = list[Lease]()

        async def take(taker: Agent = taker, took: list[Lease] = took) -> None:
            took.append(await taker.take(name))
            await taker.act(took[0], found, checked=checked)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(holder.act, lease, found, checked=checked))
            nursery.start_soon(take)
        await holder.act(lease, found, checked=checked)
        found.rounds += 1
        holder, lease = taker, took[0]


@contextmanager
def empty_database(kind: str, folder: Path, url: str = "") -> Iterator[list[StoreBackend]]:
    """A backend for each agent, on one database with its first commit stamp."""
    backends: list[StoreBackend]
    if kind == "memory":
        backends = [SharedMemory()] * AGENTS
    elif kind == "sqlite":
        backends = [SharedSqlite(f"sqlite:///{folder}/vault.db")] * AGENTS
    else:
        backends = [server_backend(url) for _ in range(AGENTS)]
    for backend in backends:
        if not backend.is_open:
            backend.open()
    try:
        first_stamp(backends[0])
        yield backends
    finally:
        for backend in backends:
            backend.close()


@asynccontextmanager
async def agents_on(backends: list[StoreBackend]) -> AsyncIterator[list[Store]]:
    """A store on each."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(following(backend, str(number)))
            for number, backend in enumerate(backends)
        ]


async def _report(kind: str, backends: list[StoreBackend], rounds: int, *, checked: bool) -> None:
    began = time.monotonic()
    async with agents_on(backends) as stores:
        found = await force_overlaps(stores, rounds, 1, checked=checked)
    print(  # noqa: T201  # a command
        f"{kind:<11}{'checked' if checked else 'unchecked':<10} {found.rounds:>6} overlaps,"
        f" {found.refused:>6} effects refused, {found.stale:>6} stale,"
        f" {time.monotonic() - began:.0f} s",
        flush=True,
    )


@contextmanager
def _database_url(kind: str) -> Iterator[str]:
    if kind not in SERVERS:
        yield ""
        return
    with run_server(kind) as server:
        yield server.empty()


def main(rounds: int, kinds: Sequence[str]) -> None:
    """On each kind of database, with the check and without it."""
    for kind, checked in product(kinds or KINDS, (True, False)):
        with (
            tempfile.TemporaryDirectory() as folder,
            _database_url(kind) as url,
            empty_database(kind, Path(folder), url) as backends,
        ):
            trio.run(partial(_report, kind, backends, rounds, checked=checked))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
