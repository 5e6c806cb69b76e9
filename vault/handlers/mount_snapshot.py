"""The table of mounts that requests go by, and how it follows what is stored."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Generic, Protocol, TypeVar

from vault.errors import UnavailableError
from vault.handlers.stores import MountR, MountT, RowsOfMounts

T = TypeVar("T")
RowT_contra = TypeVar("RowT_contra", contravariant=True)


class MountRows(Protocol[RowT_contra]):
    """A table of mounts in memory."""

    def replace(self, rows: Iterable[RowT_contra], /) -> None:
        """Take over a new set of mounts, all at once."""
        ...


class MountSnapshot(Generic[MountR, MountT]):
    """A `vault.pipeline.Snapshot` of the mounts of one kind, and the way to change them."""

    def __init__(self, store: RowsOfMounts[MountR, MountT], table: MountRows[MountR]) -> None:
        self._store = store
        self._table = table
        self._seen = -1  # transactions of these mounts that the table has

    async def change(self, change: Callable[[MountT], T]) -> T:
        """Run `change` in a transaction, then read the table again."""
        async with self.changing():
            return await self._store.transact(change)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Change mounts within the block, one caller at a time.

        Whatever comes of it may have happened: the table is read anew, or left stale.
        """
        async with self._store.changing.hold():
            try:
                yield
            finally:
                with suppress(UnavailableError):  # what the change has come to is what is told
                    await self.reload()

    async def reload(self) -> None:
        """Read the table again."""
        seen = self._store.count_transactions()
        rows = await self._store.list_all()
        if seen >= self._seen:  # else another one was quicker, and read later
            self._seen = seen
            self._table.replace(rows)

    @property
    def is_stale(self) -> bool:
        """Whether a transaction has ended that the table may not have."""
        return self._store.count_transactions() > self._seen

    async def refresh(self) -> None:
        """Read the table again if it is stale. Raises as `Store.select`."""
        async with self._store.reading.hold():
            if self.is_stale:
                await self.reload()
