"""The servers with a number of secrets stored: seeding, starting, memory, rows."""

import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

from loadtests import h2load, wrk
from loadtests.bench.measure import compare, print_progress
from loadtests.bench.plan import OTHER_SIZES, SMALL, Profile, rows, write_load
from loadtests.bench.results import Comparison, Results
from loadtests.load import data_path
from loadtests.servers import FIRST, Freehold, OpenBao, Server, Workers, pausing_others

READ_FOR_MEMORY = 10_000
SEED_PIECE = 20_000  # secrets of one h2load, whose log is held in memory


COPIES: dict[str, tuple[str, Workers]] = {
    "Freehold": ("write", "auto"),
    "Freehold, fsynced": ("fsync", "auto"),
    "one process": ("write", 1),
    "one process, fsynced": ("fsync", 1),
}
"""Name → `audit.durability` and `server.workers`. The first is filled, the others are copies."""


class Contestants:
    """OpenBao, and Freehold in each of its `COPIES`.

    OpenBao does not sync its audit file: beside it stand those that write it. Those that fsync it,
    which is Freehold's default, keep more.
    """

    def __init__(self, folder: Path) -> None:
        def own(name: str) -> Path:
            (folder / name).mkdir()
            return folder / name

        self.bao = OpenBao(own("bao"))
        self.written, *self.copies = (
            Freehold(own(f"freehold{number}"), name=name, durability=durability, workers=workers)
            for number, (name, (durability, workers)) in enumerate(COPIES.items())
        )
        self.all: tuple[Server, ...] = (self.bao, self.written, *self.copies)
        self.unsynced = tuple(
            one for one in self.all if not isinstance(one, Freehold) or one.durability == "write"
        )
        self._stored = 0

    def set_up(self) -> None:
        """Start both kinds, with the secrets of other sizes in place."""
        for server in (self.bao, self.written):
            server.set_up()
            for folder, (names, size) in OTHER_SIZES.items():
                h2load.seed(server, [data_path(folder, i) for i in range(names)], size, streams=8)

    def store(self, count: int) -> None:
        """Fill up to so many small secrets, through the API, and copy."""
        new = [data_path(SMALL, i) for i in range(self._stored, count)]
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(_seed, server, new) for server in (self.bao, self.written)]:
                done.result()
        self._stored = count
        for server in (*self.copies, self.written):
            server.stop()
        for server in self.copies:
            shutil.rmtree(server.folder)
            server.copy_from(self.written)
        os.sync()  # some gigabytes with 100,000: written behind the rows, they are in their way
        for server in (self.written, *self.copies):
            server.start()
            server.unseal()


def run_stage(stored: int, servers: Contestants, profile: Profile, results: Results) -> None:
    """Everything that the profile measures with so many secrets stored."""
    print_progress(f"\n{stored:,} secrets stored")
    _measure_starts(stored, servers.all, profile.starts, results)
    memory = results.memory[stored] = {}
    for server in servers.all:
        with pausing_others(server, servers.all):
            memory[server.name] = _memory(server, stored)
            wait_idle(server)
    for name, size in results.memory[stored].items():
        print_progress(f"  memory, {name}: {size >> 20} MiB")
    for row in rows(profile, stored):
        taking_turns = servers.all if row.fsynced else servers.unsynced
        result = compare(
            Comparison(stored, row.load),
            taking_turns,
            servers.all,
            seconds=profile.seconds,
            rounds=profile.rounds,
        )
        results.comparisons.append(result)
        print_progress(f"  {result.label}, {row.load.client}")
        for server in taking_turns:
            rate = result.rate(server.name)
            said = result.skipped or f"void: {result.void.get(server.name)}"
            if rate:
                said = f"{rate:9,.0f}/s  p99 {result.p99(server.name):7.1f} ms"
                said += f"  CPU {result.cpu(server.name):6.0f} us"
                said += f"  {result.ratio(server.name) or 0:5.2f}x"
            print_progress(f"    {server.name:18} {said}")


def _measure_starts(stored: int, servers: Sequence[Server], times: int, results: Results) -> None:
    for how, measure in (
        ("stopped", seconds_after_stop),
        ("kill -9", seconds_after_kill),
    ):
        found = results.starts.setdefault(how, {}).setdefault(stored, {})
        for _ in range(times):
            for server in servers:
                with pausing_others(server, servers):
                    found.setdefault(server.name, []).append(round(measure(server), 3))
        print_progress(f"  start to first read after {how}: {found}")


def _memory(server: Server, stored: int) -> int:
    """Freshly started, after reads of 10,000 of them, what it warmed up meanwhile included."""
    seconds_after_stop(server)
    count = min(stored, READ_FOR_MEMORY)
    paths = [data_path(SMALL, i * stored // count) for i in range(count)]
    h2load.run_h2load(server, paths, None, "-c1", "-m16", f"-n{count}", patience=600)
    return server.resident()


def _seed(server: Server, paths: Sequence[str]) -> None:
    for start in range(0, len(paths), SEED_PIECE):
        h2load.seed(server, paths[start : start + SEED_PIECE], 100)


# From the start of the process to the first secret read, unsealing included, and to its rest.


REST_WITHIN = 300.0  # seconds: a warm-up of 1,000,000 takes its time
LOOK = 2.0  # seconds
IDLE = 0.03  # of a core


def seconds_after_stop(server: Server) -> float:
    """Seconds, after it was stopped in order."""
    server.stop()
    return _start(server)


def seconds_after_kill(server: Server) -> float:
    """Seconds, after kill -9 in the second in which writes ended."""
    wrk.run_load(server, write_load(), 1)
    server.kill()
    return _start(server)


def wait_idle(server: Server) -> None:
    """Return when it does nothing any more by itself, `REST_WITHIN` at the latest.

    Behind a start both kinds warm up, look through their logs or tidy; rows are of what comes then.
    """
    until = time.monotonic() + REST_WITHIN
    spent = server.cpu_seconds()
    while time.monotonic() < until:
        time.sleep(LOOK)
        now = server.cpu_seconds()
        if now - spent < IDLE * LOOK:
            return
        spent = now


def _start(server: Server) -> float:
    began = time.monotonic()
    server.start()
    server.unseal()
    server.api().wait_status(lambda status: status == HTTPStatus.OK, "GET", FIRST)
    return time.monotonic() - began
