"""Judgements remembered: who a credential stands for, while every row that says so is unchanged.

Nothing is announced and so nothing can be forgotten: a judgement keeps the very rows that it was
made from, the absent ones too, and counts only while the cache still holds these and not others. A
commit puts the rows that it changed into the cache before it is acknowledged, so a revocation, a
disabled user or a role that lost a policy counts for the next request. Time is asked each time.
"""

from typing import Final, Generic, TypeVar

from msgspec import Struct

from vault.authn.standing import Judge, Seen, expired, judge
from vault.model.identity import Identity
from vault.store.store import Store

R = TypeVar("R", bound=Struct)

MOST: Final = 4096  # credentials; some 1.5 KB each with their rows, which the cache mostly has too


class _Judgement(Struct, frozen=True, eq=False):
    row: Struct
    identity: Identity
    seen: tuple[Seen, ...]
    until: int  # the first end of anything it stands on; 0: none ends

    def holds(self, store: Store, row: Struct, now: int) -> bool:
        if self.row is not row or expired(self.until, now):
            return False
        for table, key, was in self.seen:  # noqa: SIM110  # no generator in a hot path
            if store.cached(table, *key) is not was:
                return False
        return True


class Judgements(Generic[R]):
    """One rule's; the judgement that was made longest ago is forgotten first."""

    def __init__(self, store: Store, rule: Judge) -> None:
        self._store = store
        self._rule = rule
        self._kept: dict[str, _Judgement] = {}

    async def of(self, credential_id: str, row: R, now: int) -> Identity | None:
        """Return what `judge` returns for `row`, which is stored under this id."""
        kept = self._kept.get(credential_id)
        if kept is not None and kept.holds(self._store, row, now):
            return kept.identity
        seen: list[Seen] = []
        identity = await judge(self._store, self._rule, row, now, seen)
        self._kept.pop(credential_id, None)
        if identity is not None:
            self._kept[credential_id] = _Judgement(row, identity, tuple(seen), _end(row, seen))
            if len(self._kept) > MOST:
                del self._kept[next(iter(self._kept))]
        return identity


def _end(row: Struct, seen: list[Seen]) -> int:
    """Return the first instant at which one of the rows expires. No rule asks for another time."""
    ends = [getattr(found, "expires_at", 0) for found in (row, *(was for _, _, was in seen))]
    return min((end for end in ends if end), default=0)
