"""The watch over failed syncs, and over workers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadtests.durability import live_faults
from loadtests.durability.faults.calls import FileCall
from loadtests.durability.faults.syscall_gate import Fault
from loadtests.durability.live_faults import find_retried_sync

LOG = Path("/data/audit.log")
DATABASE = Path("/data/vault.db")


def test_a_failed_sync_that_is_tried_again_is_told() -> None:
    """On the same descriptor: the kernel has forgotten what it could not write."""
    failed = FileCall("fdatasync", LOG, "EIO")
    again = FileCall("fdatasync", LOG)
    assert len(list(find_retried_sync([failed, FileCall("pwrite", LOG), again]))) == 1
    assert not list(find_retried_sync([failed, FileCall("openat", LOG), again]))
    assert not list(find_retried_sync([failed, FileCall("fdatasync", DATABASE)]))
    assert not list(find_retried_sync([FileCall("fdatasync", LOG, "delay"), again]))


def test_another_process_has_descriptors_of_its_own() -> None:
    """What it opens or syncs says nothing of the one whose sync failed."""
    failed, again = (
        FileCall("fdatasync", LOG, "EIO", worker=7),
        FileCall("fdatasync", LOG, worker=7),
    )
    assert len(list(find_retried_sync([failed, FileCall("openat", LOG), again]))) == 1
    assert not list(
        find_retried_sync(
            [failed, FileCall("fdatasync", LOG), FileCall("openat", LOG, worker=7), again]
        )
    )


def test_sqlite_may_sync_again_once_it_has_written_the_pages_anew() -> None:
    """It copies all of them from its log again, which is kept until that worked."""
    failed = FileCall("fdatasync", DATABASE, "EIO")
    assert len(list(find_retried_sync([failed, FileCall("fdatasync", DATABASE)]))) == 1
    assert not list(
        find_retried_sync([failed, FileCall("pwrite", DATABASE), FileCall("fdatasync", DATABASE)])
    )


@pytest.mark.parametrize(
    ("fault", "now", "told"),
    [
        (Fault("EIO", 1, struck=FileCall("pwrite", LOG, worker=7)), [7, 8], ""),
        (Fault("EIO", 1, struck=FileCall("pwrite", LOG, worker=7)), [8, 9], "[7] died of it"),
        (Fault("worker killed", 1, struck=FileCall("pwrite", LOG, worker=7)), [8, 9], ""),
        (
            Fault("worker killed", 1, struck=FileCall("pwrite", LOG, worker=7)),
            [8],
            "it has the workers",
        ),
        (
            Fault("worker killed", 1, struck=FileCall("pwrite", LOG, worker=7)),
            [9, 10],
            "[8] died of it",
        ),
    ],
)
def test_a_worker_that_dies_of_a_fault_is_told(fault: Fault, now: list[int], told: str) -> None:
    """One that was killed is missed by nobody if another one is there in its place."""
    stage: Any = SimpleNamespace(
        await_workers=lambda **_: now,
        agent=SimpleNamespace(output=lambda: "what it wrote"),
        warm=lambda: None,
    )
    findings = list(live_faults._same_workers(stage, fault, [7, 8]))
    assert len(findings) == bool(told)
    assert all(told in finding for finding in findings)
