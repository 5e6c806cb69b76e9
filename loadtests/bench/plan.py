"""What is measured, and how much of it each profile runs."""

from dataclasses import dataclass, replace
from enum import IntEnum

from loadtests.load import Load

KIB = 1024
SMALL, MEDIUM, LARGE, WRITTEN = "bench/small", "bench/medium", "bench/large", "bench/written"
OTHER_SIZES = {MEDIUM: (1_000, 4 * KIB), LARGE: (64, 256 * KIB)}
"""Folder → how many secrets of how many bytes it holds; SMALL holds 100 bytes each."""


class Depth(IntEnum):
    """How thorough; each includes what comes before it."""

    QUICK = 0
    DEFAULT = 1
    FULL = 2


@dataclass(frozen=True)
class PlannedRow:
    """One comparison: its load, from which depth on it is run, and whether fsync joins in."""

    load: Load
    depth: Depth
    fsynced: bool = False


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How long, how often, and with how many stored secrets."""

    depth: Depth
    seconds: int  # of one run
    rounds: int
    starts: int  # of each kind, for each server and number of stored secrets
    stored: tuple[int, ...]


PROFILES = {
    Depth.QUICK: Profile(depth=Depth.QUICK, seconds=2, rounds=3, starts=1, stored=(1_000, 10_000)),
    Depth.DEFAULT: Profile(
        depth=Depth.DEFAULT, seconds=3, rounds=3, starts=3, stored=(1_000, 10_000, 100_000)
    ),
    Depth.FULL: Profile(
        depth=Depth.FULL, seconds=8, rounds=5, starts=5, stored=(1_000, 10_000, 100_000)
    ),
}
ROWS_AT = 1_000  # stored secrets with which every row is run
MEMORY_AT = 10_000  # only memory and starts are measured there


def read_load(http: int = 1, connections: int = 32, streams: int = 1) -> Load:
    """Reads of 100 bytes, spread over all stored secrets."""
    return Load(operation="read", http=http, connections=connections, streams=streams, folder=SMALL)


def write_load(http: int = 1, connections: int = 32, streams: int = 1) -> Load:
    """Writes of 100 bytes to 2,000 names beside the stored ones."""
    return Load(
        operation="write", http=http, connections=connections, streams=streams,
        folder=WRITTEN, names=2_000,
    )  # fmt: skip


def login_load() -> Load:
    """New tokens, which is what a login makes."""
    return replace(read_load(), operation="login")


def sized(load: Load, folder: str) -> Load:
    """The same load on the secrets of another size."""
    names, size = OTHER_SIZES[folder]
    return replace(load, folder=folder, names=names, value_bytes=size)


MAIN = (
    PlannedRow(read_load(), Depth.QUICK, fsynced=True),
    PlannedRow(read_load(http=2, connections=8, streams=8), Depth.QUICK, fsynced=True),
    PlannedRow(write_load(), Depth.QUICK, fsynced=True),
)
"""The rows that are run with every number of stored secrets."""

ROWS = (
    *MAIN,
    PlannedRow(write_load(http=2, connections=8, streams=8), Depth.DEFAULT, fsynced=True),
    PlannedRow(replace(read_load(), operation="mixed"), Depth.QUICK, fsynced=True),
    PlannedRow(replace(read_load(), operation="batch"), Depth.DEFAULT),
    PlannedRow(replace(read_load(), operation="metadata"), Depth.DEFAULT),
    PlannedRow(replace(read_load(), operation="list"), Depth.DEFAULT),
    PlannedRow(replace(read_load(), operation="lookup"), Depth.DEFAULT),
    PlannedRow(read_load(connections=1), Depth.DEFAULT, fsynced=True),
    PlannedRow(read_load(connections=256), Depth.DEFAULT),
    PlannedRow(write_load(connections=1), Depth.DEFAULT, fsynced=True),
    PlannedRow(write_load(connections=256), Depth.DEFAULT),
    PlannedRow(read_load(http=2, connections=1), Depth.DEFAULT),
    PlannedRow(read_load(http=2, connections=32), Depth.FULL),
    PlannedRow(read_load(http=2, connections=256), Depth.DEFAULT),
    PlannedRow(write_load(http=2, connections=1), Depth.DEFAULT),
    PlannedRow(write_load(http=2, connections=32), Depth.FULL),
    PlannedRow(write_load(http=2, connections=256), Depth.DEFAULT),
    PlannedRow(sized(read_load(), MEDIUM), Depth.DEFAULT),
    PlannedRow(sized(read_load(), LARGE), Depth.DEFAULT),
    PlannedRow(sized(write_load(), MEDIUM), Depth.DEFAULT),
    PlannedRow(sized(write_load(), LARGE), Depth.DEFAULT),
    PlannedRow(sized(read_load(http=2, connections=8, streams=8), MEDIUM), Depth.FULL),
    PlannedRow(sized(read_load(http=2, connections=8, streams=8), LARGE), Depth.FULL),
)


def rows(profile: Profile, stored: int) -> list[PlannedRow]:
    """The rows to run with so many secrets stored; reads are spread over all of them."""
    if stored == MEMORY_AT:
        return []
    wanted = [row for row in (ROWS if stored == ROWS_AT else MAIN) if row.depth <= profile.depth]
    return [
        replace(row, load=replace(row.load, names=stored)) if row.load.folder == SMALL else row
        for row in wanted
    ]
