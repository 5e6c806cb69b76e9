"""The whole log checked because somebody asked, with how far it is."""

from pathlib import Path

import pytest
from trio.testing import wait_all_tasks_blocked

from actors.testing import FakeWorld
from vault.audit.layout import LogLayout
from vault.audit.testing import make_keys, verify_log, write_log
from vault.audit.verification import (
    JOB_SLICE_PAUSE,
    VerificationJob,
    VerificationState,
    open_verification,
)

KEYS = make_keys()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """About 1,500 records in several segments."""
    path = tmp_path / "audit.log"
    write_log(path, 300, batch=4, rotation=200_000)
    return path


async def result(world: FakeWorld, verification: VerificationJob) -> VerificationState:
    """Let time go on until it is done."""
    while verification.state.state == "running":
        await wait_all_tasks_blocked()
        world.advance(JOB_SLICE_PAUSE)
    return verification.state


async def test_a_whole_log_is_told_as_the_command_line_tells_it(log: Path) -> None:
    """Nothing is read before somebody asks; size and root are those of `audit verify`."""
    world, known = FakeWorld(), verify_log(log, KEYS)
    async with open_verification(LogLayout(log), KEYS, "", world) as verification:
        await wait_all_tasks_blocked()
        assert verification.state == VerificationState()
        began = verification.start()
        assert (began.state, began.began) == ("running", world.now())
        await wait_all_tasks_blocked()
        far = verification.state
        assert 0 < far.checked < far.size == known.size
        assert verification.start() is far  # one reading at a time
        found = await result(world, verification)
    assert (found.state, found.size, found.root) == ("whole", known.size, known.root)
    assert found.checked == found.size
    assert found.ended > 0


async def test_the_first_bad_record_is_named(log: Path) -> None:
    """And another check finds the log whole once it is mended."""
    first = LogLayout(log).segment_files()[0]
    good = first.read_bytes()
    lines = good.split(b"\n")
    lines[3] = lines[3].replace(b"alice", b"mally")
    first.write_bytes(b"\n".join(lines))
    world = FakeWorld()
    async with open_verification(LogLayout(log), KEYS, "", world) as verification:
        verification.start()
        found = await result(world, verification)
        assert (found.state, found.root) == ("damaged", "")
        assert "line 4, record 3" in found.fault
        first.write_bytes(good)
        verification.start()
        assert (await result(world, verification)).state == "whole"


async def test_a_log_that_cannot_be_read_is_no_damaged_one(log: Path) -> None:
    """It says what is wrong, and does not cry wolf."""
    world = FakeWorld()
    first = LogLayout(log).segment_files()[0]
    data = first.read_bytes()
    first.unlink()
    first.mkdir()
    async with open_verification(LogLayout(log), KEYS, "", world) as verification:
        verification.start()
        found = await result(world, verification)
    assert (found.state, found.fault) == ("failed", "Is a directory")
    assert data
