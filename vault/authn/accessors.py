"""Accessors: what a token is known by where its text is not, and whose each of them is."""

from typing import Final

from vault.model.memo import BoundedMemo
from vault.model.records import TokenRow
from vault.store.store import Store
from vault.store.table import Key, StoreQuery
from vault.store.tables import TOKENS

MAX_CACHED: Final = 8_192  # accessors whose token is remembered; 1.2 MiB (tracemalloc)


class AccessorIndex:
    """Finds tokens by them; how a token stands is not asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ids: BoundedMemo[str, str] = BoundedMemo(MAX_CACHED)

    async def find_token(self, accessor: str) -> TokenRow | None:
        """The token, or None. An accessor belongs to no other one ever, so it is looked up once."""
        if not accessor:
            return None
        if (known := self._ids.get(accessor)) is not None:
            there = await self._store.get(TOKENS, known)
            return there if there is not None and there.accessor == accessor else None
        query = StoreQuery(equals={"accessor": accessor}, limit=1)
        row = next(iter(await self._store.select(TOKENS, query)), None)
        if row is not None:
            self._ids.put(accessor, row.id)
        return row

    async def list_accessors(self) -> list[str]:
        """Those of all tokens that are stored, in no particular order."""
        found: list[str] = []
        after: Key | None = None
        while page := await self._store.select(TOKENS, StoreQuery(after=after)):
            found += [row.accessor for row in page]
            after = (page[-1].id,)
        return found
