"""What a login method is given in a test: a mount, and its entries."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from vault.authn.methods.method import Entry, is_alive
from vault.model.records import AuthMountRow

T = TypeVar("T")

MOUNT = AuthMountRow(
    id="m", path="login/", accessor="auth_1", type="test", created_at=1, updated_at=1
)


class Entries:
    """`EntryReader` of `MOUNT`, in memory: documents by kind and name."""

    def __init__(self, documents: Mapping[tuple[str, str], Any]) -> None:
        self._documents = documents

    async def get(self, mount_id: str, kind: str, name: str) -> Entry | None:
        """As stored."""
        found = self._documents.get((kind, name)) if mount_id == MOUNT.id else None
        if found is None:
            return None
        return Entry(name=name, id=name, document=msgspec.to_builtins(found))

    async def list_names(
        self, mount_id: str, kind: str, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[str]:
        """In order."""
        names = sorted(name for each, name in self._documents if each == kind)
        found = [name for name in names if name.startswith(prefix) and name > after]
        return found[:limit] if mount_id == MOUNT.id else []

    def transact(self, *_: Any) -> Any:
        """These methods change nothing at a login."""
        raise NotImplementedError


class KeptEntries:
    """`EntryReader` of `MOUNT` whose entries change; a transaction is one call."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._entries: dict[tuple[str, str], Entry] = {}

    @property
    def now(self) -> int:
        """Unix ns."""
        return self._now()

    def keep(self, kind: str, name: str, document: Any) -> None:
        """An entry of an administrator's."""
        self.put(kind, name, msgspec.to_builtins(document))

    def found(self, kind: str, name: str) -> Entry | None:
        """As `EntryTx.get`."""
        return self._entries.get((kind, name))

    def put(
        self,
        kind: str,
        name: str,
        document: Mapping[str, Any],
        *,
        expires_at: int = 0,
        uses_left: int = 0,
    ) -> None:
        """As `EntryTx.put`."""
        self._entries[kind, name] = Entry(
            name=name, id=name, document=dict(document), expires_at=expires_at, uses_left=uses_left
        )

    def spend(self, kind: str, name: str) -> bool:
        """As `EntryTx.spend`, of entries with one use."""
        entry = self._entries.get((kind, name))
        if entry is None or not is_alive(entry, self.now):
            return False
        return self._entries.pop((kind, name)).uses_left == 1

    async def get(self, mount_id: str, kind: str, name: str) -> Entry | None:
        """As stored, until it expires."""
        entry = self._entries.get((kind, name)) if mount_id == MOUNT.id else None
        return entry if entry is not None and is_alive(entry, self.now) else None

    async def list_names(
        self, mount_id: str, kind: str, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[str]:
        """In order."""
        names = sorted(name for each, name in self._entries if each == kind)
        found = [name for name in names if name.startswith(prefix) and name > after]
        return found[:limit] if mount_id == MOUNT.id else []

    async def transact(self, mount_id: str, change: Callable[[Any], T]) -> T:
        """All at once."""
        assert mount_id == MOUNT.id
        return change(_Tx(self))


class _Tx:
    """`EntryTx` of `KeptEntries`."""

    def __init__(self, entries: KeptEntries) -> None:
        self.now = entries.now
        self.get, self.put, self.spend = entries.found, entries.put, entries.spend
