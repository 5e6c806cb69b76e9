"""An advisory lock on a file beside the database: one process at a time, freed by its death."""

import fcntl
import os
from pathlib import Path

from protocols.errors import UnavailableError


class LockFile:
    """Held from `acquire` to `release`. The file itself stays: removing it would race."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Raises `UnavailableError` (`store_locked`) at once when another process holds it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise UnavailableError(
                "store_locked",
                f"another process has the database open: {self._path.name} is locked",
            ) from None
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        """Let the next one in."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
