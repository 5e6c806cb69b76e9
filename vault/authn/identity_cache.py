"""Identities remembered: whom a credential stands for, while every row that says so is unchanged.

Nothing is announced and so nothing can be forgotten: a judgement keeps the very rows that it was
made from, the absent ones too, and counts only while the cache still holds these and not others. A
commit puts the rows that it changed into the cache before it is acknowledged, so a revocation, a
disabled user or a role that lost a policy counts for the next request. Time is asked each time.
As long as nothing at all was changed (`RowCache.change_token`), the cache need not be asked.
"""

from typing import Final, Generic, TypeVar

from msgspec import Struct

from vault.authn.credential_validity import (
    IdentityRule,
    SeenRow,
    is_expired,
    not_before,
    resolve_identity,
)
from vault.model.identity import Identity
from vault.store.store import Store

R = TypeVar("R", bound=Struct)

MAX_IDENTITIES: Final = (
    4096  # credentials; some 1.5 KB each with their rows, which the cache mostly has too
)


class _CachedIdentity(Struct, Generic[R], eq=False):
    row: R
    identity: Identity
    seen: tuple[SeenRow, ...]
    since: int  # the last `not_before` of anything it stands on
    until: int  # the first end of anything it stands on; 0: none ends
    epoch: object = None  # in which the cache had all these rows; None: not known

    def is_valid(self, store: Store, row: R, now: int, epoch: object) -> bool:
        if self.row is not row or is_expired(self.until, now) or now < self.since:
            return False
        if epoch is None or self.epoch is not epoch:
            for table, key, was in self.seen:
                if store.get_cached(table, *key) is not was:
                    return False
            self.epoch = epoch
        return True


class IdentityCache(Generic[R]):
    """The identities of one kind of credential. The oldest entry is evicted first."""

    def __init__(self, store: Store, rule: IdentityRule) -> None:
        self._store = store
        self._rule = rule
        self._entries: dict[str, _CachedIdentity[R]] = {}

    def cached_row(self, credential_id: str, epoch: object) -> R | None:
        """Return the row of this id if it was resolved in this epoch and is unchanged."""
        kept = self._entries.get(credential_id)
        return kept.row if kept is not None and kept.epoch is epoch else None

    async def resolve(self, credential_id: str, row: R, now: int, epoch: object) -> Identity | None:
        """Return the identity of `row`, which is stored under this id; None when it is not valid.

        `epoch`: the one in which the cache had this row; None if the database had to be asked.
        """
        kept = self._entries.get(credential_id)
        if kept is not None and kept.is_valid(self._store, row, now, epoch):
            return kept.identity
        seen: list[SeenRow] = []
        identity = await resolve_identity(self._store, self._rule, row, now, seen)
        self._entries.pop(credential_id, None)
        if identity is not None:
            since, until = _validity_period(row, seen)
            self._entries[credential_id] = _CachedIdentity(row, identity, tuple(seen), since, until)
            if len(self._entries) > MAX_IDENTITIES:
                del self._entries[next(iter(self._entries))]
        return identity


def _validity_period(row: Struct, seen: list[SeenRow]) -> tuple[int, int]:
    """Return from when until when all of the rows stand. No rule asks for another time."""
    rows = (row, *(was for _, _, was in seen))
    ends = [getattr(row, name, 0) for row in rows for name in ("expires_at", "idle_until")]
    return max(map(not_before, rows)), min((end for end in ends if end), default=0)
