"""The operations whose every step is struck: what leads up to each, and the operation itself."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests.durability.faults.calls import SYNCS, Call
from loadtests.durability.stage import Stage

SEGMENT: Final = 1 << 20  # bytes; the audit log's rotation size on the stage
CHECKPOINT_AGE: Final = 1.1  # seconds; a checkpoint is due one second after the last
PAGES: Final = 16 << 10  # characters of a value, so that the write-ahead log grows fast
MOST_WRITES: Final = 500  # until SQLite copies its log back: 1,000 pages by default
LONG_NAME: Final = "n" * 400  # of no secret; it makes records long
FILLERS: Final = 8  # clients at once: their records share a sync

Act = Callable[[Stage], None]


def nothing(_stage: Stage) -> None:
    """No preparation."""


def any_call(_call: Call) -> bool:
    """Positions count from the first call."""
    return True


@dataclass(frozen=True)
class Story:
    """`ready` leads up to it; positions count in `act`, from the first call that `begins` it."""

    name: str
    act: Act
    ready: Act = nothing
    begins: Callable[[Call], bool] = any_call
    repeats: bool = False  # it does the same over and over
    by_workers: bool = False  # where there are any, they do it, or a part of it


@dataclass(frozen=True)
class Start:
    """A process's beginning or end, as long as it `goes_on`."""

    name: str
    goes_on: Callable[[Call], bool] = any_call


def write(stage: Stage) -> None:
    """Intent, transaction, outcome."""
    stage.put()


def read(stage: Stage) -> None:
    """One audit record."""
    stage.read()


def wait_for_checkpoint(_stage: Stage) -> None:
    """The next record is followed by a signed checkpoint."""
    time.sleep(CHECKPOINT_AGE)


def rotate(stage: Stage) -> None:
    """A new key-encryption key."""
    stage.do("rotate", "/api/v1/system/rotate")


def rewrap(stage: Stage) -> None:
    """Every data key under the new one."""
    stage.do("rewrap", "/api/v1/system/rewrap")


def fill_segment(stage: Stage) -> None:
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


def write_until_copied_back(stage: Stage) -> None:
    """Write until SQLite has copied its write-ahead log into the database, or the fault struck."""
    for _ in range(MOST_WRITES):
        if stage.gate.saw("fdatasync", "vault.db") or (stage.fault and stage.fault.struck):
            return
        stage.put(PAGES)


def write_on_afterwards(stage: Stage) -> None:
    """The same, and the first writes that begin the log anew."""
    write_until_copied_back(stage)
    stage.put()
    stage.put()


def is_copy_back(call: Call) -> bool:
    """A page goes into the database itself."""
    return call.name == "pwrite" and call.path.name == "vault.db"


def is_end_of_copy_back(call: Call) -> bool:
    """All pages are there; how many there were differs from time to time."""
    return call.name in {"ftruncate", *SYNCS} and call.path.name == "vault.db"


def is_before_the_log(call: Call) -> bool:
    """The database is opened, migrated and read first; what follows is as at any start."""
    return not call.path.name.startswith("audit.log")


LIVE: Final = (
    Story("write", write, by_workers=True),
    Story("audit record", read, by_workers=True),
    Story("audit checkpoint", read, ready=wait_for_checkpoint, by_workers=True),
    Story("segment rotation", read, ready=fill_segment),
    Story("key rotation", rotate),
    Story("rewrap", rewrap, ready=rotate),
    Story(
        "WAL checkpoint",
        write_until_copied_back,
        begins=is_copy_back,
        repeats=True,
    ),
    Story("WAL checkpoint's end", write_on_afterwards, begins=is_end_of_copy_back),
)
"""Operations of a running agent."""

FIRST_START: Final = Start("first start")  # schema, root key, keyring, log: an empty folder before
NEXT_START: Final = Start("start after a kill")  # recovery of the database and of the log's end
MIGRATION: Final = Start("migration", is_before_the_log)  # a newer program's start, up to the log
STOP: Final = Start("stop")  # counters, the log's last signature, the database's log copied back
STARTS: Final = (FIRST_START, NEXT_START, MIGRATION, STOP)
"""The agent's own beginnings and ends: a process for each position."""
