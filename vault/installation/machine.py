"""What the checks ask of the machine: its users, disks, limits and clock."""

import ctypes
import grp
import os
import pwd
import resource
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Self

from actors import SystemWorld, World
from vault.config.machine_limits import has_process_handles, memory
from vault.errors import NotFoundError
from vault.jobs.disk_monitor import DiskUsage

MOUNTS: Final = Path("/proc/self/mountinfo")
LOCKS: Final = Path("/proc/locks")
UNITS: Final = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"))
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronized
_TIMEX_BYTES: Final = 512  # more than any struct timex
_BITS: Final = {os.R_OK: 0o4, os.W_OK: 0o2, os.X_OK: 0o1}


class User(NamedTuple):
    """Whom the agent runs as."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()

    @classmethod
    def current(cls) -> Self:
        """Of this process."""
        uid = os.geteuid()
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = str(uid)
        return cls(name, uid, os.getegid(), frozenset((os.getegid(), *os.getgroups())))

    @classmethod
    def named(cls, name: str) -> Self:
        """Raises `NotFoundError` (`no_user`)."""
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            raise NotFoundError(
                "no_user",
                f"there is no user {name}: make one with 'useradd --system {name}', or name "
                "another with --user",
            ) from None
        groups = frozenset(os.getgrouplist(name, found.pw_gid))
        return cls(name, found.pw_uid, found.pw_gid, groups)

    @property
    def group(self) -> str:
        """The name of its own group."""
        try:
            return grp.getgrgid(self.gid).gr_name
        except KeyError:
            return str(self.gid)


class Mount(NamedTuple):
    """A file system where it is mounted (proc(5), mountinfo)."""

    place: str
    kind: str
    options: frozenset[str]


def _read_mounts() -> str:
    try:
        return MOUNTS.read_text()
    except OSError:  # not Linux
        return ""


def _open_files(pid: int | None) -> int:
    """How many a process may have open; None: this one."""
    if pid is not None:
        try:
            lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
            limit = next(line for line in lines if line.startswith("Max open files")).split()[3]
        except (OSError, StopIteration, IndexError):
            pass
        else:
            return int(limit) if limit.isdigit() else sys.maxsize
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def _lock_holder(file: Path) -> int | None:
    """The process that has locked the file (proc(5), locks); None: nobody, or nobody can say."""
    try:
        found = file.stat()
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return None
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in lines:
        words = line.split()
        if "FLOCK" in words and place in words:
            pid = words[words.index(place) - 1]
            return int(pid) if pid.isdigit() else None
    return None


def _is_synchronized() -> bool | None:
    """Whether the kernel's clock is kept right by NTP; None: the kernel does not say."""
    if sys.platform != "linux":
        return None
    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _TIME_ERROR


def _has_randomness() -> bool:
    """Whether the kernel's random numbers are ready: ids and keys are made of them."""
    try:
        os.getrandom(1, os.GRND_NONBLOCK)  # noqa: TID251  # asked whether it would wait
    except BlockingIOError:
        return False
    except (AttributeError, OSError):  # not Linux, or an old kernel: they cannot be asked
        return True
    return True


@dataclass(frozen=True)
class Machine:
    """This machine. A test replaces what it cannot plant there."""

    user: User = field(default_factory=User.current)
    world: World = field(default_factory=SystemWorld)
    usage: Callable[[Path], DiskUsage] = shutil.disk_usage
    mounts: Callable[[], str] = _read_mounts
    open_files: Callable[[int | None], int] = _open_files
    lock_holder: Callable[[Path], int | None] = _lock_holder
    is_synchronized: Callable[[], bool | None] = _is_synchronized
    has_randomness: Callable[[], bool] = _has_randomness
    has_process_handles: Callable[[], bool] = has_process_handles
    memory: Callable[[], int] = memory
    units: tuple[Path, ...] = UNITS
    syslog: Path = Path("/dev/log")

    def may(self, path: Path, *wanted: int) -> bool:
        """Whether the agent's user may do this (`os.R_OK` …) with a file or folder that is there.

        The kernel is asked about this process's own user; of another one the mode bits are read,
        those of the folders above it, too. Access control lists are not.
        """
        if self.user.uid == os.geteuid():
            effective = os.access in os.supports_effective_ids
            return all(os.access(path, each, effective_ids=effective) for each in wanted)
        real = path.resolve()
        return all(self._allows(folder, os.X_OK) for folder in real.parents) and all(
            self._allows(real, each) for each in wanted
        )

    def _allows(self, path: Path, wanted: int) -> bool:
        found = path.stat()
        if self.user.uid == 0:
            return True
        shift = 6 if found.st_uid == self.user.uid else 3 if found.st_gid in self.user.groups else 0
        return bool(stat.S_IMODE(found.st_mode) >> shift & _BITS[wanted])

    def mount_of(self, path: Path) -> Mount | None:
        """The file system that the path is on, or will be."""
        real, best = str(existing(path).resolve()), None
        for line in self.mounts().splitlines():
            before, _, after = line.partition(" - ")
            fields, kinds = before.split(), after.split()
            if len(fields) < 6 or len(kinds) < 3:  # noqa: PLR2004  # proc(5)
                continue
            place = fields[4].encode().decode("unicode_escape")
            inside = real == place or real.startswith(f"{place.rstrip('/')}/")
            if inside and (best is None or len(place) >= len(best.place)):
                options = frozenset((*fields[5].split(","), *kinds[2].split(",")))
                best = Mount(place, kinds[0], options)
        return best

    def unit(self, name: str) -> str:
        """The text of a systemd unit with its drop-ins; empty: it is not installed."""
        read = partial(Path.read_text, errors="replace")
        for folder in self.units:
            file = folder / name
            if file.is_file():
                drop_ins = sorted(
                    drop_in
                    for each in self.units
                    for drop_in in (each / f"{name}.d").glob("*.conf")
                )
                return "\n".join(read(each) for each in (file, *drop_ins))
        return ""


def existing(path: Path) -> Path:
    """The path, or the folder nearest to it that exists."""
    return next((one for one in (path, *path.parents) if one.exists()), path)
