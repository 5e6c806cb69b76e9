"""The machine loses power: ext4 on a loop device forgets all that was not flushed to it."""

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from loadtests.durability.process import make_agent

SIZE: Final = 256 << 20  # bytes; the log's reserve has 64 MiB of them
EXT4_IOC_SHUTDOWN: Final = 0x8004587D  # _IOR('X', 125, __u32): linux/fs/ext4/ext4.h
FREE_WITHIN: Final = 10.0  # seconds
NOLOGFLUSH: Final = 2  # EXT4_GOING_FLAGS_NOLOGFLUSH: the journal in memory is lost, too


class Disk:
    """A file system of its own, mounted; its power can be cut."""

    def __init__(self, folder: Path) -> None:
        self.point = folder / "disk"
        self._image = folder / "disk.img"
        self.point.mkdir()
        with self._image.open("wb") as image:
            image.truncate(SIZE)
        # No lazy initialisation: a kernel thread would write beside us.
        options = "lazy_itable_init=0,lazy_journal_init=0"
        _run("mkfs.ext4", "-q", "-E", options, str(self._image))
        self.mount()

    def mount(self) -> None:
        """Mount it; after a cut, the journal that was flushed is replayed."""
        _run("mount", "-o", "loop", str(self._image), str(self.point))

    def cut_power(self) -> None:
        """From now on nothing is read or written, and what is only in memory is lost."""
        fd = os.open(self.point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(fd)

    def unmount(self) -> None:
        """Nobody uses it any more; a killed agent's workers may still be about to end."""
        until = time.monotonic() + FREE_WITHIN
        while True:
            try:
                return _run("umount", str(self.point))
            except subprocess.CalledProcessError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.05)


class PowerCutAgent:
    """An agent with its data on a disk whose power is cut."""

    def __init__(self, folder: Path, workers: int = 1) -> None:
        self._disk = Disk(folder)
        self.agent = make_agent(folder, self._disk.point / "data", workers)

    def inject(self) -> None:
        """Cut the power, from another thread; the process does not outlive it for long."""
        self._disk.cut_power()
        self.agent.strike()

    def recover(self) -> None:
        """Power is back."""
        self.agent.kill()
        self._disk.unmount()
        self._disk.mount()

    def close(self) -> None:
        """Leave nothing running or mounted."""
        self.agent.kill()
        self._disk.unmount()


def why_not() -> str:
    """Why this machine cannot do it, empty when it can."""
    missing = [name for name in ("mkfs.ext4", "mount", "umount") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not found"
    if os.geteuid() != 0:
        return "only root mounts a file system"
    with tempfile.TemporaryDirectory(prefix="freehold-power-") as folder:
        try:
            disk = Disk(Path(folder))
        except subprocess.CalledProcessError as error:
            return str(error.stderr).strip()
        try:
            disk.cut_power()
        except OSError as error:
            return f"the file system cannot be shut down: {error.strerror}"
        finally:
            with suppress(subprocess.CalledProcessError):
                disk.unmount()
    return ""


def _run(*command: str) -> None:
    """Raises `subprocess.CalledProcessError`."""
    subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # our own
