"""What is done to each server, and what the others saw of it meanwhile."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests import h2load, process, wrk
from loadtests.audit_log import AuditLogCounter
from loadtests.bench.plan import LARGE, SMALL, read_load, write_load
from loadtests.load import Load, Sample, data_path
from loadtests.overload import clients, disks, open_loop
from loadtests.servers import Freehold, OpenBao, Server, running_servers

KINDS: dict[str, type[Server]] = {"OpenBao": OpenBao, "Freehold": Freehold}
SLOW_READERS = 50
LARGE_BYTES = 256 << 10
NAMES = 1_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of it."""

    factors: tuple[float, ...]  # of the capacity
    seconds: int  # at each rate, and of each look at what the others see
    connections: int  # that only stay
    others: Load = read_load()  # noqa: RUF009  # frozen


FULL = Plan(factors=(0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0), seconds=6, connections=9_900)
QUICK = Plan(factors=(0.5, 1.0, 2.0, 4.0), seconds=3, connections=1_000)


@dataclass(frozen=True, kw_only=True)
class Impact:
    """What ordinary clients saw before and during, and the memory then."""

    what: str
    before: Sample
    during: Sample
    resident_before: int
    resident_during: int
    note: str = ""


@contextmanager
def running_server(kind: str, folder: Path, *, log: Path | None = None) -> Iterator[Server]:
    """One server of this kind with secrets to read, alone on the first core if there are two.

    The load runs on the other core, so that it does not take from the server what it offers.
    """
    (folder / kind).mkdir(parents=True)
    server = KINDS[kind](folder / kind)
    if log is not None:
        server.audit_log = AuditLogCounter(log)
    cores = os.sched_getaffinity(0)
    first = {min(cores)}
    try:
        os.sched_setaffinity(0, first)
        with running_servers(server):
            server.set_up()
            os.sched_setaffinity(0, cores - first or cores)
            h2load.seed(server, [data_path(SMALL, i) for i in range(NAMES)], 100)
            yield server
    finally:
        os.sched_setaffinity(0, cores)


def rates(kind: str, folder: Path, plan: Plan) -> tuple[float, list[open_loop.Outcome]]:
    """The capacity, and what becomes of more and more than that."""
    with running_server(kind, folder) as server:
        load = read_load(http=2)
        open_loop.measure_capacity(server, load, 2)  # warm
        most = open_loop.measure_capacity(server, load, plan.seconds)
        return most, [
            open_loop.offer_load(server, load, factor=f, rate=f * most, seconds=plan.seconds)
            for f in plan.factors
        ]


def crowd(kind: str, folder: Path, plan: Plan) -> list[Impact]:
    """Thousands of connections that stay."""

    async def look() -> Impact:
        before, resident = _others(server, plan), server.resident()
        async with clients.idle_connections(server, plan.connections) as found:
            resident_during = server.resident()
            during = await asyncio.to_thread(_others, server, plan)
            note = f"{found.open:,} open, {found.refused:,} refused"
        return Impact(
            what=f"{plan.connections:,} open connections", before=before, during=during,
            resident_before=resident, resident_during=resident_during, note=note,
        )  # fmt: skip

    with running_server(kind, folder) as server:
        return [asyncio.run(look())]


def slow_readers(kind: str, folder: Path, plan: Plan) -> list[Impact]:
    """Clients that ask for much and read it slowly."""

    async def look() -> Impact:
        before, resident = _others(server, plan), server.resident()
        async with clients.slow_readers(server, SLOW_READERS, f"{LARGE}/0/0"):
            await asyncio.sleep(1)  # until their answers are stuck
            during = await asyncio.to_thread(_others, server, plan)
            resident_during = server.resident()
        return Impact(
            what=f"{SLOW_READERS} slow readers of 256 KiB", before=before, during=during,
            resident_before=resident, resident_during=resident_during,
        )  # fmt: skip

    with running_server(kind, folder) as server:
        h2load.seed(server, [data_path(LARGE, 0)], LARGE_BYTES)
        return [asyncio.run(look())]


def slow_disk(kind: str, folder: Path, plan: Plan) -> list[Impact]:
    """Every sync takes longer."""
    loads = {"reads": read_load(), "writes": write_load()}
    with running_server(kind, folder) as server:
        before = {name: _others(server, plan, load) for name, load in loads.items()}
        resident = server.resident()
        server.stop()
        server.command_prefix = disks.slow_sync()
        server.start()
        server.unseal()
        return [
            Impact(
                what=f"each sync takes {disks.DELAY_MS} ms more: {name}", before=before[name],
                during=_others(server, plan, load),
                resident_before=resident, resident_during=_own_resident(server),
            )
            for name, load in loads.items()
        ]  # fmt: skip


def full_disk(kind: str, folder: Path) -> disks.FullDisk | None:
    """The audit log's disk is full for a while; none where no disk can be mounted."""
    with disks.small_disk(folder / "small") as mounted:
        if not mounted:
            return None
        with running_server(kind, folder, log=folder / "small" / "audit.log") as server:
            return disks.fill_up(server, folder / "small")


def _others(server: Server, plan: Plan, load: Load | None = None) -> Sample:
    return wrk.run_load(server, load or plan.others, plan.seconds, strict=False)


def _own_resident(server: Server) -> int:
    """Without strace, which is the parent."""
    return sum(map(process.resident, process.process_tree(server.pid)[1:2]))


def lines(seen: Sequence[Impact]) -> list[str]:
    """For the progress of a run."""
    return [
        f"  {one.what}: {one.before.rate:,.0f}/s p99 {one.before.p99_ms:.0f} ms -> "
        f"{one.during.rate:,.0f}/s p99 {one.during.p99_ms:.0f} ms, {one.during.failed} failed; "
        f"resident {one.resident_before >> 20} -> {one.resident_during >> 20} MiB {one.note}"
        for one in seen
    ]
