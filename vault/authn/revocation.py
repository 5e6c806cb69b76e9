"""Ending credentials: with everything that came from them, and the streams that are open.

A revocation counts from its first commit, since whatever descends from a missing token does not
stand (`standing`). Descendants go in the same commit, up to `MAX_CASCADE`; a larger family is
cleared by further commits, each of which is bounded so that writes of others get their turn. The
leases of each go with it: from that commit on they are not renewed, and their users are dropped.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from actors.slewed_clock import SlewedClock
from vault.authn.credential_validity import KEY_PARENT, is_expired
from vault.authn.lease_owners import end_leases_of
from vault.authn.stream_registry import StreamRegistry
from vault.errors import UnavailableError
from vault.model.records import TokenRow
from vault.store.interface import UNKNOWN
from vault.store.store import Store
from vault.store.table import MAX_LIMIT, StoreQuery
from vault.store.tables import CUBBYHOLE, SESSIONS, TOKENS, USAGE
from vault.store.transaction import StoreTx

MAX_CASCADE: Final = 1_000  # tokens of one commit; about 0.1 s of the writer
TOKENS_OF_USER: Final = "user:"
"""Before a user's id: all tokens of the user, as a thing to end. No token id has ':'."""
MAX_SWEEPS: Final = 100  # commits of one sweep; the next call goes on


class EndedFamilies(NamedTuple):
    """What a transaction removed: API keys, accessors, and whose children or leases are left."""

    keys: list[str]
    accessors: list[str]
    left: list[str]


class Revoker:
    """Removes tokens and what descends from them."""

    def __init__(self, store: Store, sessions: StreamRegistry, now: Callable[[], int]) -> None:
        self._store = store
        self._sessions = sessions
        self._now = now

    async def revoke_families(self, first: Callable[[StoreTx], list[str]]) -> int:
        """Commit `first`, which changes what it must and returns whose families end; end them.

        A member is a token id, `user:ID` for a user's tokens, or `key:ID` for what an API key made;
        that key's streams end too.
        Returns how many tokens were removed; raises what `first` and the store raise. What fails
        after the first of several commits has done something: its outcome is `unknown`.
        """
        members, removed = first, 0
        while True:
            try:
                ended = await self._store.commit(partial(_cascade, members, self._now()))
            except UnavailableError as error:
                if members is first:
                    raise
                told = {**error.details, "outcome": UNKNOWN}
                raise UnavailableError(error.code, error.message, **told) from error
            self._sessions.cancel_streams([*ended.keys, *ended.accessors])
            removed += len(ended.accessors)
            if not ended.left:
                return removed
            members = partial(_same, ended.left)

    def end_within(self, tx: StoreTx, ids: list[str]) -> EndedFamilies:
        """As `revoke_families`, within a transaction; `finish` follows once it is durable."""
        return _cascade(partial(_same, ids), self._now(), tx)

    async def finish(self, ended: EndedFamilies) -> None:
        """End the streams of what a transaction removed, and what that left of large families.

        What is left does not stand any more. Raises what the store raises.
        """
        self._sessions.cancel_streams([*ended.keys, *ended.accessors])
        if ended.left:
            await self.revoke_families(partial(_same, ended.left))

    async def revoke_tokens(self, ids: list[str]) -> int:
        """End these tokens with what descends from them, some at a time; returns how many."""
        removed = 0
        for begin in range(0, len(ids), MAX_CASCADE):
            some = ids[begin : begin + MAX_CASCADE]
            removed += await self.revoke_families(partial(_same, some))
        return removed

    async def revoke_expired(self, clock: SlewedClock) -> int:
        """Remove expired tokens, and unused sessions, with what descends from them.

        Returns how many went.

        By a clock that no wrong reading moves: what is refused for a while comes back, what was
        removed does not.
        """
        now, removed = clock.now(), 0
        if clock.is_suspended:
            return removed
        for _ in range(MAX_SWEEPS):
            query = StoreQuery(at_most=("expires_at", now), limit=MAX_LIMIT)
            found = [row.id for row in await self._store.select(TOKENS, query)]
            unused = StoreQuery(at_most=("idle_until", now), limit=MAX_LIMIT)
            idle = [row.token_id for row in await self._store.select(SESSIONS, unused)]
            if not found and not idle:
                break
            removed += await self.revoke_families(partial(_still_expired, found, idle, now))
        return removed


def _still_expired(ids: list[str], idle: list[str], now: int, tx: StoreTx) -> list[str]:
    rows = tx.get_many(TOKENS, [(token_id,) for token_id in ids])
    sessions = tx.get_many(SESSIONS, [(token_id,) for token_id in idle])
    expired = [row.id for row in rows.values() if is_expired(row.expires_at, now)]
    unused = [row.token_id for row in sessions.values() if is_expired(row.idle_until, now)]
    there = tx.get_many(TOKENS, [(token_id,) for token_id in unused])
    for token_id in unused:
        if (token_id,) not in there:
            tx.delete(SESSIONS, token_id)  # else it would be found again, for ever
    return list(dict.fromkeys((*expired, *unused)))


def _same(members: list[str], _tx: StoreTx) -> list[str]:
    return members


def _cascade(first: Callable[[StoreTx], list[str]], now: int, tx: StoreTx) -> EndedFamilies:
    """Remove families breadth first."""
    waiting = first(tx)
    keys = [m.removeprefix(KEY_PARENT) for m in waiting if m.startswith(KEY_PARENT)]
    heads = tx.get_many(TOKENS, [(member,) for member in waiting])
    cut = [_remove(tx, row) for row in heads.values()]
    leases = 0
    while waiting and len(cut) + leases < MAX_CASCADE:
        children = _tokens_below(tx, waiting[0])
        if not children:
            ended = end_leases_of(tx, waiting[0], MAX_CASCADE, now)
            leases += ended
            if ended < MAX_CASCADE:
                waiting.pop(0)
        for child in children:
            cut.append(_remove(tx, child))
            waiting.append(child.id)
    return EndedFamilies(keys, cut, waiting)


def _remove(tx: StoreTx, row: TokenRow) -> str:
    tx.delete(TOKENS, row.id)
    tx.delete(USAGE, row.accessor)
    if row.session:
        tx.delete(SESSIONS, row.id)
    for kept in tx.select(CUBBYHOLE, StoreQuery(equals={"token_id": row.id})):
        tx.delete(CUBBYHOLE, row.id, kept.path)
    return row.accessor


def child_tokens(tx: StoreTx, parent: str, limit: int = MAX_LIMIT) -> list[TokenRow]:
    """Return tokens that came from this token id or parent reference."""
    return tx.select(TOKENS, StoreQuery(equals={"parent": parent}, limit=limit))


def _tokens_below(tx: StoreTx, member: str) -> list[TokenRow]:
    """Return some of the tokens that end with a member; none once all have."""
    if not member.startswith(TOKENS_OF_USER):
        return child_tokens(tx, member, MAX_CASCADE)
    user_id = member.removeprefix(TOKENS_OF_USER)
    return tx.select(TOKENS, StoreQuery(equals={"user_id": user_id}, limit=MAX_CASCADE))
