"""What a login method is given in a test: a mount, and its entries."""

from collections.abc import Mapping
from typing import Any

import msgspec

from vault.authn.methods.method import Entry
from vault.model.records import AuthMountRow

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
