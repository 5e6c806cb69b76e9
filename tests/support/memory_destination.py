"""A place for backups that tests read and change: a dict of names to bytes."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from vault.backup.destinations.interface import require_bound
from vault.errors import ConflictError, NotFoundError


class MemoryDestination:
    """A `vault.backup.destinations.interface.Destination`."""

    location = "memory"

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = dict(objects or {})

    @contextmanager
    def create(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """Kept when the block ends."""
        parts: list[bytes] = []
        yield parts.append
        if name in self.objects:
            raise ConflictError("backup_exists", name)
        self.objects[name] = b"".join(parts)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """To be read."""
        if name not in self.objects:
            raise NotFoundError("backup_missing", name)
        yield io.BytesIO(self.objects[name])

    def names(self) -> list[str]:
        """All of them, if there are not too many."""
        require_bound(self.location, len(self.objects))
        return sorted(self.objects)

    def remove(self, name: str) -> None:
        """One that is gone already is no fault."""
        self.objects.pop(name, None)
