"""Free space of the file systems that the agent writes, measured while it runs.

A full disk under the audit log ends all service, so that people hear of it before it is full.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import Final, Protocol

import trio
from msgspec.structs import replace

from actors import World
from vault.model.health import DiskHealth

log: Final = logging.getLogger("freehold.disk")
MEASURE_INTERVAL: Final = 10.0
"""Seconds between two measurements: one system call for each place."""
RECOVERY_MARGIN: Final = 1.25
"""A disk that was low has room again once this many times the threshold is free."""


class DiskUsage(Protocol):
    """Bytes, as `shutil.disk_usage` returns them."""

    @property
    def total(self) -> int:
        """Size of the file system."""
        ...

    @property
    def free(self) -> int:
        """What a user without privileges can still use."""
        ...


@dataclass(frozen=True)
class DiskThreshold:
    """A disk is low with less than `free` bytes and less than `percent` of its size free.

    Both, so that a small disk is not always low and a large one not with terabytes free.
    """

    free: int
    percent: float

    def is_low(self, usage: DiskUsage, *, was_low: bool) -> bool:
        """Whether it is; one that was low needs some more to count as having room again."""
        least = min(self.free, usage.total * self.percent / 100)
        return usage.free < least * (RECOVERY_MARGIN if was_low else 1.0)


class DiskMonitor:
    """Measures the places of one agent. `disks` is what was found last, in the places' order."""

    def __init__(
        self,
        places: Mapping[str, Path],
        threshold: DiskThreshold,
        measure: Callable[[Path], DiskUsage] = disk_usage,
    ) -> None:
        """`places`: name → file or folder; what does not exist yet counts where it will be."""
        self._places = places
        self._threshold = threshold
        self._measure = measure
        self._unmeasured: frozenset[str] = frozenset()
        self.disks: tuple[DiskHealth, ...] = ()

    async def run(
        self, world: World, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Measure until cancelled; started once everything was measured."""
        self._update(*await world.run_sync(self._measured))
        task_status.started()
        while True:
            await world.sleep(MEASURE_INTERVAL)
            self._update(*await world.run_sync(self._measured))

    def _measured(self) -> tuple[list[DiskHealth], dict[str, str]]:
        """All places, and why some cannot be measured: those are as they were last. Blocks.

        One that was never measured is low: nobody can say that it has room.
        """
        before = {disk.place: disk for disk in self.disks}
        found, failed = list[DiskHealth](), dict[str, str]()
        for place, path in self._places.items():
            last = before.get(place, DiskHealth(place=place, free=0, total=0, low=False))
            try:
                usage = self._measure(_existing(path))
            except OSError as error:
                failed[place] = f"{error.filename or path}: {error.strerror}"
                found.append(last if last.total else replace(last, low=self._threshold.percent > 0))
                continue
            is_low = self._threshold.is_low(usage, was_low=last.low and last.total > 0)
            found.append(DiskHealth(place=place, free=usage.free, total=usage.total, low=is_low))
        return found, failed

    def _update(self, found: Iterable[DiskHealth], failed: Mapping[str, str]) -> None:
        """Remember it, and log what has changed."""
        before = {disk.place: disk.low for disk in self.disks}
        self.disks = tuple(found)
        for disk in self.disks:
            if disk.place in failed:
                continue
            if disk.low and (disk.place in self._unmeasured or not before.get(disk.place, False)):
                log.warning(
                    "the disk of %s is nearly full: %d MiB are free. Free some space, or the agent "
                    "will refuse what it cannot store",
                    self._places[disk.place],
                    disk.free >> 20,
                )
            elif before.get(disk.place, False) and not disk.low:
                log.info("the disk of %s has room again", self._places[disk.place])
        for place in failed.keys() - self._unmeasured:
            log.warning(
                "the free space cannot be measured, and counts as it was last, or else as low: "
                "%s. Look at the file system",
                failed[place],
            )
        self._unmeasured = frozenset(failed)


def _existing(path: Path) -> Path:
    """The path, or the folder nearest to it that exists: it will be on the same file system."""
    return next((one for one in (path, *path.parents) if one.exists()), path)
