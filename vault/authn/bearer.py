"""Bearer credentials: whoever presents the text is its holder. Tokens and API keys."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from actors.slewed_clock import EARLY
from actors.world import World
from protocols.instant import SECOND
from vault.authn.bound_origin import certificate_digest, is_within
from vault.authn.credential_scheme import CredentialScheme, LocatedCredential
from vault.authn.credential_validity import (
    IdentityRule,
    api_key_identity,
    not_before,
    token_identity,
)
from vault.authn.identity_cache import IdentityCache
from vault.authn.lockout import Lockout
from vault.authn.sessions import SessionActivity, is_session
from vault.model.identity import Identity
from vault.model.operation import Origin
from vault.model.records import ApiKeyRow, TokenRow
from vault.store.row_cache import MISSING
from vault.store.store import Store
from vault.store.table import Table
from vault.store.tables import API_KEYS, TOKENS
from vault.store.transaction import StoreTx

R = TypeVar("R", bound=Struct)

LOG_INTERVAL: Final = 60.0  # seconds between two warnings of one table and process

log: Final = logging.getLogger("freehold.authn")


class BearerMethod(Generic[R]):
    """One kind: the table it is found in, its secret's column, and the rule by which it stands."""

    def __init__(
        self,
        store: Store,
        scheme: CredentialScheme,
        lockout: Lockout,
        world: World,
        *,
        table: Table[R],
        stored_hash: Callable[[R], bytes],
        rule: IdentityRule,
        is_session: Callable[[R], bool] = lambda _: False,
        violates_binding: Callable[[R, Origin], bool] = lambda _row, _origin: False,
        consume_use: Callable[[R, Identity], Awaitable[bool]] | None = None,
    ) -> None:
        """`is_session`: it is a browser's, and counts in a cookie alone; any other never does.

        `violates_binding`: it does not count from this address or with this client certificate.
        `consume_use`: what a use takes; False where there is none left.
        """
        self._is_session = is_session
        self._violates_binding = violates_binding
        self._store = store
        self._scheme = scheme
        self._lockout = lockout
        self._world = world
        self._table = table
        self._stored_hash = stored_hash
        self._identities: IdentityCache[R] = IdentityCache(store, rule)
        self._consume_use = consume_use
        self._next_log_time = 0.0

    async def identify(
        self, located: LocatedCredential, origin: Origin, *, use: bool = True
    ) -> Identity | None:
        """Return the holder; None for unknown, wrong, expired, revoked, spent, disabled, locked.

        And for what came in another way than it counts in. Unless it is a `use`, no failure is
        counted and no use of a limited token is spent.
        """
        epoch: object = self._store.change_token
        row = self._identities.cached_row(located.id, epoch)
        if row is None:
            cached = self._store.get_cached(self._table, located.id)
            if cached is MISSING:
                epoch, cached = None, await self._store.get(self._table, located.id)
            row = cached
        now, pair = self._world.now(), (located.id, origin.ip)
        # From here to the count of a failure nothing waits, so parallel guesses are counted too.
        locked = self._lockout.is_locked(pair, now)
        right = self._scheme.matches(located, None if row is None else self._stored_hash(row))
        if row is None or locked:
            return None
        if not right:
            if use:
                self._lockout.record_failure(pair, now)
            return None
        if use:
            self._lockout.record_success(pair)
        if self._is_session(row) is not origin.browser or self._violates_binding(row, origin):
            return None
        identity = await self._identities.resolve(located.id, row, now, epoch)
        if identity is None and now < not_before(row):
            self._log_not_yet_valid(located, row, now)
        if identity is None or self._consume_use is None or not use:
            return identity
        return identity if await self._consume_use(row, identity) else None

    def _log_not_yet_valid(self, located: LocatedCredential, row: R, now: int) -> None:
        """Tell the operator, not the caller, why a credential is refused that is right."""
        if (monotonic := self._world.monotonic()) < self._next_log_time:
            return
        self._next_log_time = monotonic + LOG_INTERVAL
        log.warning(
            "%s %s is refused: it was issued %d seconds from now, so the machine's clock was ahead "
            "then and its end is too late. Revoke it and issue another one",
            self._table.name,
            getattr(row, "accessor", located.id),
            (not_before(row) + EARLY - now) // SECOND,
        )


def api_key_method(
    store: Store, scheme: CredentialScheme, lockout: Lockout, world: World
) -> BearerMethod[ApiKeyRow]:
    """Make the method for API keys."""
    return BearerMethod(
        store,
        scheme,
        lockout,
        world,
        table=API_KEYS,
        stored_hash=lambda row: row.key_hash,
        rule=api_key_identity,
    )


def token_method(
    store: Store, scheme: CredentialScheme, lockout: Lockout, world: World
) -> BearerMethod[TokenRow]:
    """Make the method for tokens; a use of a limited one is durably spent before it counts."""
    activity = SessionActivity(store, world)

    async def spend(row: TokenRow, identity: Identity) -> bool:
        if identity.session and not await activity.note_use(identity.session):
            return False
        if not row.num_uses:
            return True
        now = world.now()
        return await store.commit(lambda tx: _consume_token_use(tx, row.id, now))

    return BearerMethod(
        store,
        scheme,
        lockout,
        world,
        table=TOKENS,
        stored_hash=lambda row: row.secret_hash,
        rule=token_identity,
        is_session=is_session,
        violates_binding=violates_binding,
        consume_use=spend,
    )


def violates_binding(row: TokenRow, origin: Origin) -> bool:
    """Whether a token does not count from where a request came."""
    if row.bound_cidrs and not is_within(origin.ip, row.bound_cidrs):
        return True
    shown = certificate_digest(origin)
    return bool(row.certificate) and row.certificate != shown  # not secret: all see certificates


def _consume_token_use(tx: StoreTx, token_id: str, now: int) -> bool:
    row = tx.get(TOKENS, token_id)
    if row is None or row.uses_left <= 0:
        return False
    left = row.uses_left - 1
    # The last use of a token that never expires gives it an end, so that the sweep finds it.
    expires_at = row.expires_at if left else row.expires_at or now
    tx.put(TOKENS, replace(row, uses_left=left, expires_at=expires_at))
    return True
