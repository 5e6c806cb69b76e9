"""A process that serves: its memory kept private, its folder its owner's, its errors one line."""

import ctypes
import errno
import os
import shlex
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from ui.cli.errors import CliError, FaultsError

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h

Settings = TypeVar("Settings")


def protect_memory() -> None:
    """Allow no core file and, on Linux, no debugger of the same user; to be called at the start.

    Processes that are forked from this one inherit both. A process that is not dumpable is traced
    or read through /proc/PID/mem by root alone (prctl(2), ptrace(2)), so that profilers need root.
    Raises `CliError`.
    """
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        why = os.strerror(ctypes.get_errno())
        raise CliError(f"cannot keep other processes from the memory of this one: prctl: {why}")


def load_or_exit(load: Callable[[], Settings]) -> Settings:
    """The settings. Raises `FaultsError` with a line for each fault."""
    from protocols.settings.loader import ConfigError

    try:
        return load()
    except ConfigError as error:
        raise FaultsError(error.faults) from None


def make_private_folder(folder: Path) -> None:
    """Make the data folder for its owner only, whatever the umask is.

    One that is there has to be this user's, and nobody else may write to it. Raises `CliError`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise CliError(f"cannot make {folder}: {error.strerror}") from None
    if found.st_uid != os.geteuid():
        raise CliError(f"{folder} belongs to another user: choose another folder with --data-dir")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        place = shlex.quote(str(folder))
        raise CliError(f"others may write to {folder} (mode {mode}): chmod 700 {place}")


def in_one_line(run: Callable[[], object], *kinds: type[Exception]) -> None:
    """Run it; errors of these kinds, alone or in groups, are one `CliError`."""
    lines: list[str] = []
    try:
        run()
    except* kinds as group:
        lines += dict.fromkeys(error_lines(group))
    if lines:  # raised here: Python 3.11 puts what an `except*` raises into another group
        raise CliError("; ".join(lines))


def error_lines(group: BaseExceptionGroup[BaseException]) -> Iterator[str]:
    """What each error in the group says, a line each."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from error_lines(error)
        elif isinstance(error, OSError):
            yield _describe(error)
        else:
            yield str(error)


def _describe(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        where = error.filename or "this address"
        return f"something listens on {where} already; end it or choose another address"
    text = error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename else text
