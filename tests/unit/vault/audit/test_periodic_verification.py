"""The whole log is read behind the serving agent, and damage that a start does not meet is told."""

from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.testing import FakeWorld
from vault.audit.head_file import read_head
from vault.audit.layout import LogLayout
from vault.audit.testing import make_keys, write_log
from vault.audit.verification import (
    PERIOD,
    PERIODIC_SLICE_PAUSE,
    PeriodicVerification,
    open_periodic_verification,
)

KEYS = make_keys()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """About 1,500 records in several segments."""
    path = tmp_path / "audit.log"
    write_log(path, 300, batch=4, rotation=200_000)
    assert len(LogLayout(path).segment_files()) > 1
    return path


async def until_read(world: FakeWorld, inspection: PeriodicVerification, times: int) -> None:
    """Let time go on until the log was read so often."""
    while inspection.completed < times:
        await wait_all_tasks_blocked()
        world.advance(PERIODIC_SLICE_PAUSE)


async def test_a_good_log_is_read_once_a_day(log: Path) -> None:
    """In slices; nothing is told. What happens to it meanwhile is found the next day."""
    world = FakeWorld()
    async with open_periodic_verification(LogLayout(log), KEYS, "", world) as inspection:
        await wait_all_tasks_blocked()
        assert inspection.completed == 0  # it rests: there is more than one slice
        await until_read(world, inspection, 1)
        assert inspection.damage == ""
        spoil(log)
        await wait_all_tasks_blocked()
        world.advance(PERIOD)
        await until_read(world, inspection, 2)
        assert "record 3" in inspection.damage


def spoil(log: Path) -> None:
    """Change an old record."""
    first = LogLayout(log).segment_files()[0]
    lines = first.read_bytes().split(b"\n")
    lines[3] = lines[3].replace(b"alice", b"mally")
    first.write_bytes(b"\n".join(lines))


async def test_damage_is_told_once_and_where(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In `damage` for as long as it is there, in the agent's own log once."""
    spoil(log)
    world = FakeWorld()
    async with open_periodic_verification(LogLayout(log), KEYS, "", world) as inspection:
        await until_read(world, inspection, 1)
        assert "audit.log.00000001, line 4, record 3" in inspection.damage
        await wait_all_tasks_blocked()
        world.advance(PERIOD)
        await until_read(world, inspection, 2)
    assert caplog.text.count("the audit log is damaged") == 1


async def test_the_checkpoint_of_before_is_held_against_it(log: Path, tmp_path: Path) -> None:
    """A log of ours that is another than it was."""
    witness = read_head(LogLayout(log).head_file, KEYS, KEYS.public).note
    other = tmp_path / "other" / "audit.log"
    other.parent.mkdir()
    write_log(other, 400, batch=4, rotation=190_000)
    for path, damage in ((log, ""), (other, "the log was replaced")):
        inspection = PeriodicVerification(LogLayout(path), KEYS, witness, FakeWorld())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inspection.verify_once)
            await until_read(inspection._world, inspection, 1)
        assert damage in inspection.damage
        assert bool(damage) == bool(inspection.damage)


async def test_a_segment_that_is_let_go_meanwhile_is_no_damage(log: Path) -> None:
    """It is read again; a log that is not there at all is told."""
    world = FakeWorld()
    async with open_periodic_verification(LogLayout(log), KEYS, "", world) as inspection:
        await wait_all_tasks_blocked()
        hidden = [(path, path.read_bytes()) for path in LogLayout(log).segment_files()[1:]]
        for path, _ in hidden:
            path.unlink()
        for _ in range(3):
            world.advance(PERIODIC_SLICE_PAUSE)
            await wait_all_tasks_blocked()
        for path, data in hidden:
            path.write_bytes(data)
        await until_read(world, inspection, 1)
        assert inspection.damage == ""
