"""The change feed for those who follow single secrets: verified entries, reduced to their names."""

import hmac

from vault.model.changes import ChangedNames, ChangePosition, FeedExpiredError
from vault.model.records import ChangeRow
from vault.seal.anchor.feed_chain import feed_damaged_error, link_change, verify_changes
from vault.seal.anchor.keys import AnchorKeys
from vault.store.change_feed import ENTRIES_PER_READ
from vault.store.interface import FeedPosition
from vault.store.store import Store
from vault.store.table import StoreQuery
from vault.store.tables import CHANGES, SECRETS


class SecretFeedReader:
    """`vault.model.changes.SecretFeed` of an open store."""

    def __init__(self, store: Store, keys: AnchorKeys) -> None:
        self._store = store
        self._keys = keys

    @property
    def commits(self) -> int:
        """The number of the last commit whose rows are seen here."""
        return self._store.commits

    async def position(self) -> ChangePosition:
        """The position of that commit."""
        number, known = self._store.commits, self._store.feed_position
        if known.commits == number:  # else the rows of a later one are not seen here yet
            return ChangePosition(*known)
        entry = await self._entry(number)
        if entry is None:
            raise feed_damaged_error(f"entry {number} is missing")
        return ChangePosition(number, entry.chain)

    async def read(self, after: ChangePosition, until: int) -> list[ChangedNames]:
        """Up to `ENTRIES_PER_READ` entries after a position. As `SecretFeed.read`.

        An entry that is missing is no damage here: whoever follows lists anew, and misses nothing.
        """
        if after.commits >= until:
            if after.commits > until or not await self._is_ours(after):
                raise FeedExpiredError
            return []
        query = StoreQuery(after=(after.commits,), limit=ENTRIES_PER_READ)
        rows = [row for row in await self._store.select(CHANGES, query) if row.seq <= until]
        if not rows or rows[0].seq != after.commits + 1:
            raise FeedExpiredError  # removed, or passed over when a rollback was accepted
        if not self._follows(rows[0], after) and not await self._is_ours(after):
            raise FeedExpiredError
        changed, position = list[ChangedNames](), FeedPosition(*after)
        for row in rows:
            if row.seq != position.commits + 1:
                break
            piece = verify_changes(self._keys, [row], position)
            position = piece.position
            names = [
                str(change.key[0])
                for changes in piece.changes
                for change in changes.index_changes.get(SECRETS, ())
            ]
            changed.append(ChangedNames(names, ChangePosition(*position)))
        return changed

    def _follows(self, row: ChangeRow, after: ChangePosition) -> bool:
        wanted = link_change(self._keys, row.seq, row.node, row.changes, after.chain)
        return hmac.compare_digest(wanted.chain, row.chain)

    async def _is_ours(self, position: ChangePosition) -> bool:
        """Whether the feed has the entry of a position, so that one behind it has to be there."""
        if not position.commits:
            return not position.chain and await self._entry(1) is not None
        entry = await self._entry(position.commits)
        return entry is not None and hmac.compare_digest(entry.chain, position.chain)

    async def _entry(self, number: int) -> ChangeRow | None:
        query = StoreQuery(equals={"seq": number}, limit=1)
        return next(iter(await self._store.select(CHANGES, query)), None)
