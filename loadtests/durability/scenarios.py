"""The operations whose every step is struck: what leads up to each, and the operation itself."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests.durability.faults.calls import SYNCS, FileCall
from loadtests.durability.harness import AgentHarness

SEGMENT: Final = 1 << 20  # bytes; the audit log's rotation size on the stage
CHECKPOINT_AGE: Final = 1.1  # seconds; a checkpoint is due one second after the last
PAGES: Final = 16 << 10  # characters of a value, so that the write-ahead log grows fast
MOST_WRITES: Final = 500  # until SQLite copies its log back: 1,000 pages by default
LONG_NAME: Final = "n" * 400  # of no secret; it makes records long
FILLERS: Final = 8  # clients at once: their records share a sync

Act = Callable[[AgentHarness], None]


def nothing(_stage: AgentHarness) -> None:
    """No preparation."""


def any_call(_call: FileCall) -> bool:
    """Positions count from the first call."""
    return True


@dataclass(frozen=True)
class Scenario:
    """`ready` leads up to it; positions count in `act`, from the first call that `begins` it."""

    name: str
    act: Act
    ready: Act = nothing
    begins: Callable[[FileCall], bool] = any_call
    repeats: bool = False  # it does the same over and over
    by_workers: bool = False  # where there are any, they do it, or a part of it


@dataclass(frozen=True)
class ProcessScenario:
    """A process's beginning or end, as long as it `goes_on`."""

    name: str
    goes_on: Callable[[FileCall], bool] = any_call


def write(stage: AgentHarness) -> None:
    """Intent, transaction, outcome."""
    stage.write()


def read(stage: AgentHarness) -> None:
    """One audit record."""
    stage.read()


def wait_for_checkpoint(_stage: AgentHarness) -> None:
    """The next record is followed by a signed checkpoint."""
    time.sleep(CHECKPOINT_AGE)


def rotate(stage: AgentHarness) -> None:
    """A new key-encryption key."""
    stage.run_operation("rotate", "/api/v1/system/rotate")


def rewrap(stage: AgentHarness) -> None:
    """Every data key under the new one."""
    stage.run_operation("rewrap", "/api/v1/system/rewrap")


def fill_segment(stage: AgentHarness) -> None:
    """The next record opens a segment."""
    log = stage.agent.audit_log

    def fill() -> None:
        with stage.agent.client() as client:
            while _size(log) < SEGMENT:
                client.call("GET", f"/api/v1/secrets/secret/{LONG_NAME}")

    with ThreadPoolExecutor(FILLERS) as pool:
        for filled in [pool.submit(fill) for _ in range(FILLERS)]:
            filled.result()


def _size(file: Path) -> int:
    """In bytes; 0 between two segments, when there is no such file."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def write_until_copied_back(stage: AgentHarness) -> None:
    """Write until SQLite has copied its write-ahead log into the database, or the fault struck."""
    for _ in range(MOST_WRITES):
        if stage.gate.has_seen("fdatasync", "vault.db") or (stage.fault and stage.fault.struck):
            return
        stage.write(PAGES)


def write_on_afterwards(stage: AgentHarness) -> None:
    """The same, and the first writes that begin the log anew."""
    write_until_copied_back(stage)
    stage.write()
    stage.write()


def is_copy_back(call: FileCall) -> bool:
    """A page goes into the database itself."""
    return call.name == "pwrite" and call.path.name == "vault.db"


def is_end_of_copy_back(call: FileCall) -> bool:
    """All pages are there; how many there were differs from time to time."""
    return call.name in {"ftruncate", *SYNCS} and call.path.name == "vault.db"


def is_before_the_log(call: FileCall) -> bool:
    """The database is opened, migrated and read first; what follows is as at any start."""
    return not call.path.name.startswith("audit.log")


LIVE: Final = (
    Scenario("write", write, by_workers=True),
    Scenario("audit record", read, by_workers=True),
    Scenario("audit checkpoint", read, ready=wait_for_checkpoint, by_workers=True),
    Scenario("segment rotation", read, ready=fill_segment),
    Scenario("key rotation", rotate),
    Scenario("rewrap", rewrap, ready=rotate),
    Scenario(
        "WAL checkpoint",
        write_until_copied_back,
        begins=is_copy_back,
        repeats=True,
    ),
    Scenario("WAL checkpoint's end", write_on_afterwards, begins=is_end_of_copy_back),
)
"""Operations of a running agent."""

FIRST_START: Final = ProcessScenario(
    "first start"
)  # schema, root key, keyring, log: an empty folder before
NEXT_START: Final = ProcessScenario(
    "start after a kill"
)  # recovery of the database and of the log's end
MIGRATION: Final = ProcessScenario(
    "migration", is_before_the_log
)  # a newer program's start, up to the log
STOP: Final = ProcessScenario(
    "stop"
)  # counters, the log's last signature, the database's log copied back
STARTS: Final = (FIRST_START, NEXT_START, MIGRATION, STOP)
"""The agent's own beginnings and ends: a process for each position."""
