"""The file operations of the file sink: the seam at which tests inject faults."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

_PRIVATE: Final = 0o600
_BLOCK: Final = 512  # bytes; what st_blocks counts in, see stat(2)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_disk_full(error: OSError) -> bool:
    """Whether the error says that there is no room."""
    return error.errno in _FULL


class Disk:
    """The operating system's. Every method raises `OSError`."""

    def open(self, path: Path, *, create: bool = False, truncate: bool = False) -> int:
        """A descriptor to read and write; a new file is its owner's alone, whatever the umask."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        flags |= (os.O_CREAT if create else 0) | (os.O_TRUNC if truncate else 0)
        return os.open(path, flags, _PRIVATE)

    def close(self, fd: int) -> None:
        """Give the descriptor back."""
        os.close(fd)

    def lock(self, fd: int) -> None:
        """Keep every other process from locking this file until the descriptor is closed."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, fd: int, data: memoryview, offset: int) -> int:
        """Write some of `data` at the offset; how much, may be less than all."""
        return os.pwrite(fd, data, offset)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """At most `size` bytes."""
        return os.pread(fd, size, offset)

    def sync(self, fd: int) -> None:
        """Return when the file's content (and its length) is durable."""
        os.fdatasync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file off."""
        os.ftruncate(fd, size)

    def size(self, fd: int) -> int:
        """The file's length; -1 when it has no name any more."""
        status = os.fstat(fd)
        return status.st_size if status.st_nlink else -1

    def allocated(self, fd: int) -> int:
        """How much of the disk the file takes, in bytes."""
        return os.fstat(fd).st_blocks * _BLOCK

    def disk_space(self, folder: Path) -> tuple[int, int]:
        """The disk's size and what is free of it for us, in bytes; 0 and 0 when it does not say."""
        found = os.statvfs(folder)
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize

    def allocate(self, fd: int, size: int) -> None:
        """Take this much room on the disk."""
        os.posix_fallocate(fd, 0, size)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name. Raises `FileExistsError` if that is taken."""
        if target.exists():
            raise FileExistsError(errno.EEXIST, "the segment exists already", str(target))
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """Remove a file that may not be there."""
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in the folder durable."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
