"""Where backups are kept: named objects that are written once. `LocalDirectory` is a folder."""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from vault.errors import ConflictError, NotFoundError, UnavailableError

_MODE: Final = 0o600
_PART: Final = ".part"
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


class Destination(Protocol):
    """A folder, or a bucket. All of it blocks.

    Each method raises `UnavailableError` (`backup_unavailable`) for a fault of the place.
    """

    @property
    def location(self) -> str:
        """Where it is, for people."""
        ...

    def create(self, name: str) -> AbstractContextManager[Callable[[bytes], object]]:
        """A new object; what the block is given is called with its next bytes.

        It has its name, whole and durable, when the block ends; when that raises there is no
        object. Raises `ConflictError` (`backup_exists`): an object is never replaced.
        """
        ...

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """The object, to be read from its beginning. Raises `NotFoundError` (`backup_missing`)."""
        ...

    def names(self) -> list[str]:
        """The names of all objects that are whole, sorted."""
        ...

    def remove(self, name: str) -> None:
        """Remove the object; one that is gone already is no fault. Raises `UnavailableError`."""
        ...


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
            self._remove_abandoned()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                descriptor = os.open(part, flags, _MODE)
            except FileExistsError:
                raise _exists(target) from None
            with os.fdopen(descriptor, "wb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    yield file.write
                    file.flush()
                    os.fsync(file.fileno())
                    _give_name(part, target)
                finally:
                    part.unlink(missing_ok=True)
            _sync(self._folder)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """See `Destination`."""
        path = self._folder / name
        with self._faults():
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            try:
                descriptor = os.open(path, flags)
            except FileNotFoundError:
                raise NotFoundError("backup_missing", f"there is no {path}") from None
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise UnavailableError("backup_unavailable", f"{path} is not a plain file")
                yield file

    def names(self) -> list[str]:
        """See `Destination`."""
        with self._faults():
            try:
                entries = [entry.name for entry in self._folder.iterdir()]
            except FileNotFoundError:
                raise NotFoundError(
                    "backup_missing", f"there is no folder {self._folder}"
                ) from None
        return sorted(entry for entry in entries if not entry.startswith("."))

    def remove(self, name: str) -> None:
        """See `Destination`."""
        with self._faults():
            (self._folder / name).unlink(missing_ok=True)
            if self._folder.is_dir():
                _sync(self._folder)

    def _remove_abandoned(self) -> None:
        """Remove what a process that died has left: nobody has it locked."""
        for part in self._folder.glob(f".*{_PART}"):
            with suppress(OSError), part.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnavailableError(
                "backup_unavailable",
                f"the backups in {self._folder} cannot be used: {error.strerror or error}",
            ) from error


def _give_name(part: Path, target: Path) -> None:
    """Give the file its name, which no other one has. Raises `ConflictError`, `OSError`."""
    try:
        os.link(part, target, follow_symlinks=False)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise _exists(target) from None
        part.rename(target)


def _exists(target: Path) -> ConflictError:
    return ConflictError(
        "backup_exists", f"{target} is there already, and a backup is never replaced"
    )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
