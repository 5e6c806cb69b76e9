"""vault.jobs.disk_monitor: when a disk is low, and when it has room again."""

import errno
import logging
import os
from pathlib import Path
from typing import NamedTuple

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.testing import FakeWorld
from vault.jobs.disk_monitor import MEASURE_INTERVAL, DiskMonitor, DiskThreshold

GIB = 1 << 30


class Usage(NamedTuple):
    """Of a disk."""

    total: int
    free: int


@pytest.mark.parametrize(
    ("usage", "low"),
    [
        (Usage(4000 * GIB, 2 * GIB), False),  # 0.05 %, and plenty
        (Usage(4000 * GIB, GIB - 1), True),
        (Usage(20 * GIB, GIB), False),
        (Usage(2 * GIB, GIB // 2), False),  # a small disk with a quarter of it free
        (Usage(2 * GIB, GIB // 10), True),
        (Usage(100, 0), True),
    ],
)
def test_a_disk_is_low_by_bytes_and_by_share(usage: Usage, low: bool) -> None:
    """Both have to be short: one alone would be wrong for large or for small disks."""
    assert DiskThreshold(GIB, 10).is_low(usage, was_low=False) is low


def test_no_share_is_never_low() -> None:
    """How it is switched off."""
    assert not DiskThreshold(GIB, 0).is_low(Usage(GIB, 0), was_low=False)


class Disks:
    """File systems by the folder that is asked for; an exception is raised."""

    def __init__(self) -> None:
        self.usage: dict[Path, Usage | OSError] = {}

    def measure(self, path: Path) -> Usage:
        """As `shutil.disk_usage`."""
        found = self.usage[path]
        if isinstance(found, OSError):
            raise found
        return found


async def test_low_and_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once when it begins and once when it is over, with some room to spare."""
    caplog.set_level(logging.INFO, "freehold.disk")
    disks, world = Disks(), FakeWorld()
    watch = DiskMonitor({"data": tmp_path / "vault.db"}, DiskThreshold(1000, 10), disks.measure)
    seen = []
    async with trio.open_nursery() as nursery:
        for place, free in enumerate((101, 99, 98, 124, 125, 101)):
            disks.usage[tmp_path] = Usage(1000, free)
            if place == 0:
                await nursery.start(watch.run, world)
                await wait_all_tasks_blocked()
            else:
                world.advance(MEASURE_INTERVAL)
                await wait_all_tasks_blocked()
            seen.append(watch.disks[0].low)
        nursery.cancel_scope.cancel()
    assert seen == [False, True, True, True, False, False]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert str(tmp_path / "vault.db") in caplog.text


async def test_what_was_never_measured_is_low_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The other places are measured all the same; a folder to be made counts where it will be."""
    disks, world = Disks(), FakeWorld()
    there = tmp_path / "there"
    there.mkdir()
    stale = OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(there))
    disks.usage = {tmp_path: Usage(1000, 500), there: stale}
    places = {"data": there / "vault.db", "anchor": tmp_path / "not" / "yet" / "vault.anchor"}
    watch = DiskMonitor(places, DiskThreshold(1000, 10), disks.measure)
    async with trio.open_nursery() as nursery:
        await nursery.start(watch.run, world)
        await wait_all_tasks_blocked()
        world.advance(MEASURE_INTERVAL)
        await wait_all_tasks_blocked()
        assert [(disk.place, disk.free, disk.low) for disk in watch.disks] == [
            ("data", 0, True),
            ("anchor", 500, False),
        ]
        [record] = caplog.records
        assert f"measured, and counts as it was last, or else as low: {there}" in record.message
        nursery.cancel_scope.cancel()


async def test_what_cannot_be_measured_stays_as_it_was(tmp_path: Path) -> None:
    """No alert ends for it, and the room that one needs to be over is still that of a low disk."""
    disks, world = Disks(), FakeWorld()
    stale = OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(tmp_path))
    watch = DiskMonitor({"data": tmp_path / "vault.db"}, DiskThreshold(1000, 10), disks.measure)
    disks.usage[tmp_path] = Usage(1000, 99)
    seen = []
    async with trio.open_nursery() as nursery:
        await nursery.start(watch.run, world)
        await wait_all_tasks_blocked()
        for usage in (stale, Usage(1000, 101), stale, Usage(1000, 125), stale):
            disks.usage[tmp_path] = usage
            world.advance(MEASURE_INTERVAL)
            await wait_all_tasks_blocked()
            seen.append((watch.disks[0].free, watch.disks[0].low))
        nursery.cancel_scope.cancel()
    assert seen == [(99, True), (101, True), (101, True), (125, False), (125, False)]


async def test_what_is_measured_at_last_has_the_usual_threshold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It was low for want of a measurement, not of room; and one that is low is told as such."""
    disks, world = Disks(), FakeWorld()
    stale = OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(tmp_path))
    for usage, low in ((Usage(1000, 101), False), (Usage(1000, 99), True)):
        watch = DiskMonitor({"data": tmp_path / "vault.db"}, DiskThreshold(1000, 10), disks.measure)
        async with trio.open_nursery() as nursery:
            disks.usage[tmp_path] = stale
            await nursery.start(watch.run, world)
            await wait_all_tasks_blocked()
            disks.usage[tmp_path] = usage
            world.advance(MEASURE_INTERVAL)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert watch.disks[0].low is low
    assert "nearly full" in caplog.text


async def test_what_is_switched_off_is_never_low(tmp_path: Path) -> None:
    """Not for want of a measurement either."""
    disks = Disks()
    disks.usage[tmp_path] = OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(tmp_path))
    watch = DiskMonitor({"data": tmp_path / "vault.db"}, DiskThreshold(1000, 0), disks.measure)
    async with trio.open_nursery() as nursery:
        await nursery.start(watch.run, FakeWorld())
        nursery.cancel_scope.cancel()
    assert not watch.disks[0].low
