"""Bearer credentials: whoever presents the text is its holder. Tokens and API keys."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from actors.slewed_clock import EARLY
from actors.world import World
from vault.authn.judgements import Judgements
from vault.authn.lockout import Lockout
from vault.authn.scheme import CredentialScheme, Located
from vault.authn.sessions import is_session
from vault.authn.standing import Judge, judge_key, judge_token, not_before
from vault.model.identity import Identity
from vault.model.instant import SECOND
from vault.model.operation import Origin
from vault.model.records import ApiKeyRow, TokenRow
from vault.store.cache import MISSING
from vault.store.store import Store
from vault.store.table import Table
from vault.store.tables import API_KEYS, TOKENS
from vault.store.tx import Tx

R = TypeVar("R", bound=Struct)

TELL_EVERY: Final = 60.0  # seconds between two warnings of one table and process

log: Final = logging.getLogger("freehold.authn")


class Bearer(Generic[R]):
    """One kind: the table it is found in, its secret's column, and the rule by which it stands."""

    def __init__(
        self,
        store: Store,
        scheme: CredentialScheme,
        lockout: Lockout,
        world: World,
        *,
        table: Table[R],
        stored: Callable[[R], bytes],
        rule: Judge,
        is_session: Callable[[R], bool] = lambda _: False,
        spend: Callable[[R], Awaitable[bool]] | None = None,
    ) -> None:
        """`is_session`: it is a browser's, and counts in a cookie alone; any other never does."""
        self._is_session = is_session
        self._store = store
        self._scheme = scheme
        self._lockout = lockout
        self._world = world
        self._table = table
        self._stored = stored
        self._judgements: Judgements[R] = Judgements(store, rule)
        self._spend = spend
        self._tell_again = 0.0

    async def identify(
        self, located: Located, origin: Origin, *, use: bool = True
    ) -> Identity | None:
        """Return the holder; None for unknown, wrong, expired, revoked, spent, disabled, locked.

        And for what came in another way than it counts in. Unless it is a `use`, no failure is
        counted and no use of a limited token is spent.
        """
        epoch: object = self._store.epoch
        row = self._judgements.row(located.id, epoch)
        if row is None:
            cached = self._store.cached(self._table, located.id)
            if cached is MISSING:
                epoch, cached = None, await self._store.get(self._table, located.id)
            row = cached
        now, pair = self._world.now(), (located.id, origin.ip)
        # From here to the count of a failure nothing waits, so parallel guesses are counted too.
        locked = self._lockout.locked(pair, now)
        right = self._scheme.matches(located, None if row is None else self._stored(row))
        if row is None or locked:
            return None
        if not right:
            if use:
                self._lockout.fail(pair, now)
            return None
        if use:
            self._lockout.succeed(pair)
        if self._is_session(row) is not origin.browser:
            return None
        identity = await self._judgements.of(located.id, row, now, epoch)
        if identity is None and now < not_before(row):
            self._tell_early(located, row, now)
        if identity is None or self._spend is None or not use:
            return identity
        return identity if await self._spend(row) else None

    def _tell_early(self, located: Located, row: R, now: int) -> None:
        """Tell the operator, not the caller, why a credential is refused that is right."""
        if (monotonic := self._world.monotonic()) < self._tell_again:
            return
        self._tell_again = monotonic + TELL_EVERY
        log.warning(
            "%s %s is refused: it was issued %d seconds from now, so the machine's clock was ahead "
            "then and its end is too late. Revoke it and issue another one",
            self._table.name,
            getattr(row, "accessor", located.id),
            (not_before(row) + EARLY - now) // SECOND,
        )


def api_key_method(
    store: Store, scheme: CredentialScheme, lockout: Lockout, world: World
) -> Bearer[ApiKeyRow]:
    """Make the method for API keys."""
    return Bearer(
        store,
        scheme,
        lockout,
        world,
        table=API_KEYS,
        stored=lambda row: row.key_hash,
        rule=judge_key,
    )


def token_method(
    store: Store, scheme: CredentialScheme, lockout: Lockout, world: World
) -> Bearer[TokenRow]:
    """Make the method for tokens; a use of a limited one is durably spent before it counts."""

    async def spend(row: TokenRow) -> bool:
        if not row.num_uses:
            return True
        now = world.now()
        return await store.commit(lambda tx: _spend(tx, row.id, now))

    return Bearer(
        store,
        scheme,
        lockout,
        world,
        table=TOKENS,
        stored=lambda row: row.secret_hash,
        rule=judge_token,
        is_session=is_session,
        spend=spend,
    )


def _spend(tx: Tx, token_id: str, now: int) -> bool:
    row = tx.get(TOKENS, token_id)
    if row is None or row.uses_left <= 0:
        return False
    left = row.uses_left - 1
    # The last use of a token that never expires gives it an end, so that the sweep finds it.
    expires_at = row.expires_at if left else row.expires_at or now
    tx.put(TOKENS, replace(row, uses_left=left, expires_at=expires_at))
    return True
