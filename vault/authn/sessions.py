"""Sessions: the tokens that stand for a person who is there. Bounded in time, idle time and number.

A session is the token that a person's login made, one that a person's API key was turned into, or
a browser's. What it makes in turn ends with it, so no bound is asked for again further down.

The idle time of a login's token, where it has one, begins anew with each use of it, or of what it
made. So that not every request writes, a use is written down once a sixteenth of the idle time has
passed: a session ends at the latest when its idle time is over, and at most a sixteenth of it
earlier. A browser's session is renewed by the page while somebody is there, so its TTL is the idle
time.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from msgspec import UNSET, Struct
from msgspec.structs import replace

from actors.world import World
from protocols.instant import HOUR, MINUTE, SECOND
from vault.authn.credential_usage import CredentialUsage
from vault.authn.credential_validity import KEY_PARENT, is_expired, is_outside_validity
from vault.authn.revocation import EndedFamilies, Revoker
from vault.errors import ConflictError, NotFoundError, UnavailableError
from vault.model.auth_mounts import AuthMountTable
from vault.model.identity import Identity, Method
from vault.model.records import AuthMountRow, SessionRow, TokenRow
from vault.model.results import SessionInfo
from vault.store.row_cache import MISSING
from vault.store.store import Store
from vault.store.table import MAX_LIMIT, StoreQuery
from vault.store.tables import SESSIONS, SESSIONS_LEVEL, TOKENS, USERS
from vault.store.transaction import StoreTx

SESSION_CREATE_PATH: Final = "sys/sessions"
"""`TokenRow.path` of a browser's session; the token API has its own paths, so it makes none."""


MOST_OF_TOKEN: Final = 100
"""Browser sessions of one token at a time: a team may share the first root token."""
_MOST_PAGES: Final = 10
"""Of a token's children that are looked at: one with more may make tokens without end anyway."""
PRECISION: Final = 16
"""A use is written down when this part of the idle time has passed since the last one that was."""
NOTED_EVERY: Final = HOUR
"""The same without an idle time: who was there last, in order, when there are too many sessions."""


def is_session(row: TokenRow) -> bool:
    """Whether a token is a browser's session, whose text is in a cookie and counts there alone."""
    return row.path == SESSION_CREATE_PATH


def session_row(token: TokenRow, address: str, idle: int) -> SessionRow:
    """What is kept of a new session beside its token. `idle` in ns, 0: without such a bound."""
    return SessionRow(
        token_id=token.id,
        accessor=token.accessor,
        user_id=token.user_id,
        address=address,
        created_at=token.created_at,
        active_at=token.issued_at,
        idle=idle,
        idle_until=token.issued_at + idle if idle else 0,
    )


def used_at(row: SessionRow, now: int) -> SessionRow:
    """A session as it is after a use: its idle time begins anew."""
    return replace(row, active_at=now, idle_until=now + row.idle if row.idle else 0)


class SessionLimits(Struct, frozen=True, kw_only=True):
    """`timeout`, `idle` in ns: how long it lasts, at most and unused; `max_per_user` at once.

    `login_idle`: `idle` of a login's token, 0 for none, as clients of Vault's API expect. The
    defaults are the design's (`authentication.session_timeout`, `max_sessions_per_user`).
    """

    timeout: int = 24 * 3600 * SECOND
    idle: int = 15 * MINUTE
    login_idle: int = 0
    max_per_user: int = 10

    def max_ttl(self, explicit_max_ttl: int) -> int:
        """The explicit maximum of a session that asks for this one (0: none)."""
        return min(explicit_max_ttl or self.timeout, self.timeout)

    @property
    def idle_at_once(self) -> int:
        """The TTL of a session that a page renews."""
        return min(self.idle, self.timeout)

    @property
    def batch_max_ttl(self) -> int:
        """The longest TTL of a person's batch token, whose uses nobody can note."""
        return min(self.login_idle or self.timeout, self.timeout)

    def admit_browser(self, tx: StoreTx, token_id: str, now: int) -> None:
        """Raise `ConflictError` (`sessions_full`) when a token has as many as it may."""
        live, after = 0, None
        for _ in range(_MOST_PAGES):
            page = tx.select(TOKENS, StoreQuery(equals={"parent": token_id}, after=after))
            live += sum(is_session(row) and not is_outside_validity(row, now) for row in page)
            if live >= MOST_OF_TOKEN:
                raise ConflictError(
                    "sessions_full",
                    f"there are {MOST_OF_TOKEN} browser sessions of this token, the most there "
                    "may be: sign out of one, or wait until one ends",
                )
            if len(page) < MAX_LIMIT:
                return
            after = (page[-1].id,)

    def require_capacity(self, tx: StoreTx, user_id: str, now: int) -> None:
        """Raise `ConflictError` (`sessions_full`) when the user has the maximum."""
        live = sum(_is_live(tx, row, now) for row in _sessions_of(tx, user_id))
        if live >= self.max_per_user:
            raise ConflictError(
                "sessions_full",
                f"there are {self.max_per_user} sessions of this user, the most there may be: "
                "revoke one that is no longer needed",
            )

    def surplus(self, tx: StoreTx, user_id: str, now: int) -> list[str]:
        """The tokens of sessions that end so that the user may have one more.

        A login is not refused, since whoever has lost all sessions could revoke none: those end
        that were used longest ago, and before them those that are over anyway.
        """
        over: list[str] = []
        live: list[SessionRow] = []
        for row in _sessions_of(tx, user_id):
            if _is_live(tx, row, now):
                live.append(row)
            else:
                over.append(row.token_id)
        live.sort(key=_by_use)
        return over + [row.token_id for row in live[: max(0, len(live) + 1 - self.max_per_user)]]


class SessionOpener:
    """Makes the tokens of people's logins sessions."""

    def __init__(self, limits: SessionLimits, revoker: Revoker) -> None:
        self.limits = limits
        self._revoker = revoker

    def open(
        self, tx: StoreTx, row: TokenRow, address: str, now: int
    ) -> tuple[TokenRow, EndedFamilies | None]:
        """Store that a login's token is a session, without which it does not stand.

        In the transaction that stores the token, as it is returned. `finish` follows with the
        rest. While a node runs that knows no sessions, the token is none.
        """
        if tx.lowest_level() < SESSIONS_LEVEL:
            return replace(row, session=UNSET), None
        surplus = self.limits.surplus(tx, row.user_id, now) if row.user_id else []
        ended = self._revoker.end_within(tx, surplus)
        tx.put(SESSIONS, session_row(row, address, self.limits.login_idle))
        return row, ended

    async def finish(self, ended: EndedFamilies | None) -> None:
        """End the streams of sessions that a new login ended, and the rest of their families."""
        if ended is not None:
            with suppress(UnavailableError):  # what is left does not stand any more
                await self._revoker.finish(ended)


class SessionActivity:
    """Begins the idle time of sessions anew as they are used."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world

    async def note_use(self, token_id: str) -> bool:
        """Count a use of a session that stands, by its token's id; whether it still stands.

        Waits for a commit once in a sixteenth of the idle time, or in an hour. While the database
        takes none, the session goes on until its idle time is over.
        """
        now = self._world.now()
        row = self._store.get_cached(SESSIONS, token_id)
        if row is not MISSING and row is not None and not _is_due(row, now):
            return True
        try:
            return await self._store.commit(partial(_note_use, token_id, now))
        except UnavailableError:
            return True


class Sessions:
    """The sessions of users, to be seen and ended."""

    def __init__(
        self,
        store: Store,
        revoker: Revoker,
        usage: CredentialUsage,
        mounts: AuthMountTable,
        world: World,
    ) -> None:
        self._store = store
        self._revoker = revoker
        self._usage = usage
        self._mounts = mounts
        self._world = world

    async def list_own(self, caller: Identity, own: TokenRow | None) -> list[SessionInfo]:
        """The caller's, the newest first. `own`: the token that asks; None: none that is stored.

        Of a user's API key with permissions, what it has opened; of a token that is no user's, its
        browsers'.
        """
        return await self._infos(await self._own_tokens(caller, own), caller.credential)

    async def list_of(self, caller: Identity, user_id: str) -> list[SessionInfo]:
        """The sessions of a user, the newest first. Raises `NotFoundError`."""
        if await self._store.get(USERS, user_id) is None:
            raise NotFoundError("user_not_found", "no such user")
        return await self._infos(await self._tokens_of(user_id), caller.credential)

    async def revoke_own(self, caller: Identity, own: TokenRow | None, accessor: str) -> None:
        """End one of those that `list_own` shows, with what it made. Raises `NotFoundError`."""
        await self._revoke(await self._own_tokens(caller, own), accessor)

    async def revoke_of(self, user_id: str, accessor: str) -> None:
        """End a session of a user, with what it made. Raises `NotFoundError`."""
        await self._revoke(await self._tokens_of(user_id), accessor)

    async def _revoke(self, rows: list[TokenRow], accessor: str) -> None:
        ids = [row.id for row in rows if row.accessor == accessor]
        if not ids:
            raise NotFoundError(
                "session_not_found",
                "there is no such session (any more): `freehold sessions list` shows those that "
                "there are",
            )
        await self._revoker.revoke_tokens(ids)

    async def _own_tokens(self, caller: Identity, own: TokenRow | None) -> list[TokenRow]:
        if await self._store.get(USERS, caller.id) is not None:
            rows = await self._tokens_of(caller.id)
            if not caller.permissions:
                return rows
            parent = KEY_PARENT + caller.credential if own is None else own.parent
            return [row for row in rows if row.parent == parent]
        if own is None:
            return []
        query = StoreQuery(equals={"parent": own.parent if is_session(own) else own.id})
        return [row for row in await self._store.select(TOKENS, query) if is_session(row)]

    async def _tokens_of(self, user_id: str) -> list[TokenRow]:
        query = StoreQuery(equals={"user_id": user_id})
        rows = await self._store.select(SESSIONS, query)
        found = [await self._store.get(TOKENS, row.token_id) for row in rows]
        return [row for row in found if row is not None]

    async def _infos(self, rows: list[TokenRow], current: str) -> list[SessionInfo]:
        now = self._world.now()
        found: list[SessionInfo] = []
        for row in rows:
            session = await self._store.get(SESSIONS, row.id)
            if (
                session is None
                or is_outside_validity(row, now)
                or is_expired(session.idle_until, now)
            ):
                continue
            mount = self._mounts.find_by_id(row.mount_id) if row.mount_id else None
            usage = await self._usage.get(row.accessor)
            found.append(
                SessionInfo(
                    accessor=row.accessor,
                    method=_method(row, mount),
                    mount="" if mount is None else mount.path,
                    browser=is_session(row),
                    address=session.address,
                    created_at=row.created_at,
                    last_used=max(usage.last_used, session.active_at),
                    expires_at=row.expires_at,
                    idle_until=session.idle_until,
                    is_current=row.accessor == current,
                )
            )
        return sorted(found, key=_by_beginning, reverse=True)


def _method(row: TokenRow, mount: AuthMountRow | None) -> str:
    if mount is not None:
        return mount.type
    return Method.API_KEY if row.parent.startswith(KEY_PARENT) else Method.TOKEN


def _by_beginning(info: SessionInfo) -> tuple[int, str]:
    return info.created_at, info.accessor


def _note_use(token_id: str, now: int, tx: StoreTx) -> bool:
    row = tx.get(SESSIONS, token_id)
    if row is None or is_expired(row.idle_until, now):
        return False  # what was over does not come back
    if _is_due(row, now):
        tx.put(SESSIONS, used_at(row, now))
    return True


def _is_due(row: SessionRow, now: int) -> bool:
    return now - row.active_at >= (row.idle // PRECISION or NOTED_EVERY)


def _is_live(tx: StoreTx, row: SessionRow, now: int) -> bool:
    token = tx.get(TOKENS, row.token_id)
    return (
        token is not None
        and not is_outside_validity(token, now)
        and not is_expired(row.idle_until, now)
    )


def _sessions_of(tx: StoreTx, user_id: str) -> Iterator[SessionRow]:
    after = None
    while True:
        page = tx.select(SESSIONS, StoreQuery(equals={"user_id": user_id}, after=after))
        yield from page
        if len(page) < MAX_LIMIT:
            return
        after = (page[-1].token_id,)


def _by_use(row: SessionRow) -> tuple[int, int, str]:
    return row.active_at, row.created_at, row.token_id
