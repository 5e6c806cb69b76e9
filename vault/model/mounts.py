"""`MountTable`: the current mounts. A mount is a prefix of the name space with KV settings."""

from collections.abc import Iterable, Mapping
from typing import Final

from vault.model.path import ResourcePath
from vault.model.records import MountRow


class MountTable:
    """An immutable snapshot that is replaced whole; lookups are one dict access a segment."""

    def __init__(self, rows: Iterable[MountRow] = ()) -> None:
        self._rows = {row.path: row for row in rows}

    @property
    def rows(self) -> Mapping[str, MountRow]:
        """The mounts by path: another mapping, not a changed one, after each `replace`."""
        return self._rows

    def replace(self, rows: Iterable[MountRow]) -> None:
        """Take over a new set of mounts, all at once."""
        self._rows = {row.path: row for row in rows}

    def list_mounts(self) -> list[MountRow]:
        """Every mount in path order."""
        return [self._rows[path] for path in sorted(self._rows)]

    def get(self, path: str) -> MountRow | None:
        """The mount at exactly this path (with its closing `/`)."""
        return self._rows.get(path)

    def find_for_path(self, path: str) -> MountRow | None:
        """The mount that `path` lies in. Mounts never nest, so there is at most one."""
        end = path.find("/")
        while end >= 0:
            row = self._rows.get(path[: end + 1])
            if row is not None:
                return row
            end = path.find("/", end + 1)
        return None

    def find_overlapping(self, path: ResourcePath) -> MountRow | None:
        """A mount that lies above, at or below the folder `path`: the two could not coexist."""
        return self.find_for_path(path) or next(
            (row for row in self._rows.values() if row.path.startswith(path)), None
        )


NO_MOUNTS: Final = MountTable()
"""Where nothing is mounted: never filled."""
