"""A destination whose bytes are counted; its use ends when the task that waits is cancelled."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, cast

import trio

from vault.backup.destinations.interface import Destination, StoredObject
from vault.errors import VaultError


class WatchedDestination:
    """Wraps a `Destination` for work in a thread of `run_backup_work`."""

    def __init__(self, destination: Destination, count: Callable[[int], None]) -> None:
        """`count` is called in the thread, with the bytes that were written or read."""
        self._destination = destination
        self._count = count

    @property
    def location(self) -> str:
        """Of the destination."""
        return self._destination.location

    @contextmanager
    def create(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """See `Destination`."""
        with self._destination.create(name) as write:

            def counted(data: bytes) -> None:
                trio.from_thread.check_cancelled()
                write(data)
                self._count(len(data))

            yield counted

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """See `Destination`."""
        with self._destination.open(name) as file:
            yield cast("BinaryIO", _WatchedFile(file, self._count))

    def names(self) -> list[str]:
        """See `Destination`."""
        trio.from_thread.check_cancelled()
        return self._destination.names()

    def objects(self) -> list[StoredObject]:
        """See `Destination`."""
        trio.from_thread.check_cancelled()
        return self._destination.objects()

    def remove(self, name: str) -> None:
        """See `Destination`."""
        trio.from_thread.check_cancelled()
        self._destination.remove(name)


class _WatchedFile:
    """What a backup is read by."""

    def __init__(self, file: BinaryIO, count: Callable[[int], None]) -> None:
        self._file = file
        self._count = count

    def read(self, size: int) -> bytes:
        """At most `size` bytes."""
        trio.from_thread.check_cancelled()
        data = self._file.read(size)
        self._count(len(data))
        return data

    def readline(self, size: int) -> bytes:
        """A line, or its first `size` bytes."""
        trio.from_thread.check_cancelled()
        data = self._file.readline(size)
        self._count(len(data))
        return data


@contextmanager
def ignore_progress(_what: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    """For work that nobody follows."""
    yield lambda _: None


class UnusableDestination:
    """Stands for a destination that could not be opened: the vault opens without it."""

    def __init__(self, location: str, fault: VaultError) -> None:
        self.location = location
        self._fault = fault

    def create(self, name: str) -> AbstractContextManager[Callable[[bytes], object]]:  # noqa: ARG002
        """Raise the fault."""
        raise self._fault

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:  # noqa: ARG002
        """Raise the fault."""
        raise self._fault

    def names(self) -> list[str]:
        """Raise the fault."""
        raise self._fault

    def objects(self) -> list[StoredObject]:
        """Raise the fault."""
        raise self._fault

    def remove(self, name: str) -> None:  # noqa: ARG002
        """Raise the fault."""
        raise self._fault
