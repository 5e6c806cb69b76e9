"""A destination: named objects that are written once and never replaced."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO, Final, NamedTuple, Protocol

from vault.errors import ConflictError, NotFoundError, UnavailableError, ValidationError

MAX_OBJECTS: Final = 100_000
"""A place with more objects is refused: it is listed in memory."""
TOO_MANY: Final = "backups_too_many"
ABANDONED: Final = 24 * 3600 * 10**9
"""Nanoseconds without a new part after which an upload is taken for a dead process's.

For places without locks. A live upload sends a part at least every few minutes.
"""


class StoredObject(NamedTuple):
    """A whole object, as a listing has it."""

    name: str
    size: int
    """Bytes."""
    modified: int
    """Unix time in nanoseconds, by the destination's own clock."""


class Destination(Protocol):
    """All of it blocks, so it is called in a thread; one of Trio's ends early when cancelled.

    Each method raises `UnavailableError` (`backup_unavailable`) for a fault of the place. No text
    of an error holds a credential.
    """

    @property
    def location(self) -> str:
        """Where it is, for people; without credentials."""
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

    def objects(self) -> list[StoredObject]:
        """All objects that are whole, by ascending names; at most `MAX_OBJECTS`."""
        ...

    def remove(self, name: str) -> None:
        """Remove the object; one that is not there is no error.

        Raises `ConflictError` (`backup_locked`) for one that is kept until a later time.
        """
        ...


def unavailable(location: str, what: str) -> UnavailableError:
    """The place, what is wrong there, and what to do."""
    return UnavailableError(
        "backup_unavailable", f"the backups in {location} cannot be used: {what}"
    )


def exists(location: str, name: str) -> ConflictError:
    """The name is taken."""
    return ConflictError(
        "backup_exists", f"{location}/{name} is there already, and a backup is never replaced"
    )


def missing(location: str, name: str) -> NotFoundError:
    """There is no such object."""
    return NotFoundError("backup_missing", f"there is no {location}/{name}")


def locked(location: str, name: str, until: str) -> ConflictError:
    """It cannot be removed yet."""
    return ConflictError(
        "backup_locked", f"{location}/{name} is locked{until}: remove it after that"
    )


def require_bound(location: str, count: int) -> None:
    """Raise `ValidationError` (`backups_too_many`) for a listing that is too long."""
    if count > MAX_OBJECTS:
        raise ValidationError(
            TOO_MANY,
            f"there are more than {MAX_OBJECTS} objects in {location}: move away what is not of "
            "backups. A backup can still be restored by its id",
        )
