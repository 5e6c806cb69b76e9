"""A folder of backups, on this machine or on a share that is mounted there."""

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from vault.backup.destinations import parts
from vault.backup.destinations.interface import (
    StoredObject,
    exists,
    missing,
    require_bound,
    unavailable,
)
from vault.errors import NotFoundError, UnavailableError, VaultError

_MODE: Final = 0o600
_PART: Final = ".part"
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


class LocalDirectory:
    """A folder of its own. It is made if it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def location(self) -> str:
        """The folder."""
        return str(self._folder)

    @contextmanager
    def create(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """See `Destination`. Until it is whole the file has another name, and is locked."""
        target = self._folder / name
        part = self._folder / f".{name}{_PART}"
        with self._faults():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.path.lexists(target):
                raise exists(self.location, name)
            self._remove_abandoned()
            with self._new_part(part, name) as file:
                yield file.write
                file.flush()
                os.fsync(file.fileno())
                self._give_name(part, target)
            _sync(self._folder)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """See `Destination`. A copy of a bucket's objects is read as well: their parts joined."""
        with self._faults(), self._open_file(name) as file:
            size = os.fstat(file.fileno()).st_size
            index = None
            if size <= parts.MAX_INDEX:
                try:
                    index = parts.decode_index(file.read(size))
                except ValueError as error:
                    raise unavailable(self.location, f"{name} is damaged: {error}") from None
                file.seek(0)
            if index is None:
                yield file
            else:
                yield parts.reader(name, index.size, index, self._read)

    def names(self) -> list[str]:
        """See `Destination`. Names that are no text, and what is no plain file, are no object's."""
        with self._faults():
            try:
                with os.scandir(self._folder) as found:
                    entries = [each.name for each in found if each.is_file(follow_symlinks=False)]
            except FileNotFoundError:
                raise NotFoundError(
                    "backup_missing", f"there is no folder {self._folder}"
                ) from None
        require_bound(self.location, len(entries))
        return sorted(each for each in entries if each.isprintable() and not each.startswith("."))

    def objects(self) -> list[StoredObject]:
        """See `Destination`."""
        found: list[StoredObject] = []
        for name in self.names():
            with self._faults(), suppress(FileNotFoundError):  # it was removed just now
                status = (self._folder / name).lstat()
                found.append(StoredObject(name, status.st_size, status.st_mtime_ns))
        return found

    def remove(self, name: str) -> None:
        """See `Destination`."""
        with self._faults(), suppress(FileNotFoundError):
            (self._folder / name).unlink()
            shutil.rmtree(self._folder / parts.FOLDER / name, ignore_errors=True)
            _sync(self._folder)

    @contextmanager
    def _open_file(self, name: str) -> Iterator[BinaryIO]:
        path = self._folder / name
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            raise missing(self.location, name) from None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UnavailableError("backup_unavailable", f"{path} is not a plain file")
            yield file

    def _read(self, name: str, first: int, count: int) -> bytes:
        with self._open_file(name) as file:
            file.seek(first)
            return file.read(count)

    @contextmanager
    def _new_part(self, part: Path, name: str) -> Iterator[BinaryIO]:
        """A file that nobody had, open and locked; its name goes when the block ends."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            try:
                descriptor = os.open(part, flags, _MODE)
            except FileExistsError:
                raise exists(self.location, name) from None
            with os.fdopen(descriptor, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # Before it was locked another writer may have taken it for abandoned.
                if _is_at(part, file):
                    try:
                        yield file
                    finally:
                        part.unlink(missing_ok=True)
                    return

    def _give_name(self, part: Path, target: Path) -> None:
        """Give the file its name, which no other one has. Raises `ConflictError`, `OSError`."""
        try:
            os.link(part, target, follow_symlinks=False)
        except FileExistsError:
            raise exists(self.location, target.name) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):
                raise exists(self.location, target.name) from None
            part.rename(target)

    def _remove_abandoned(self) -> None:
        """Remove what a process that died has left: nobody has it locked."""
        for part in self._folder.glob(f".*{_PART}"):
            with suppress(OSError, VaultError), self._open_file(part.name) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(part, file):  # its writer may have ended, and another one begun
                    part.unlink()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unavailable(self.location, error.strerror or f"{error}") from error


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether this open file is the one that has the name now."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
