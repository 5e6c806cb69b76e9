"""Which aliases a source has to be asked about again, and what follows from its answer."""

from functools import partial

from msgspec.structs import replace

from vault.authn.credential_validity import is_outside_validity
from vault.authn.groups import set_memberships, without_mount
from vault.authn.logins import Logins
from vault.authn.methods.method import LoginRefusedError
from vault.authn.revocation import Revoker
from vault.model.auth_mounts import AuthMountTable
from vault.model.records import EntityAliasRow, TokenRow
from vault.store.store import Store
from vault.store.table import StoreQuery
from vault.store.tables import ENTITY_ALIASES, TOKENS, USERS
from vault.store.transaction import StoreTx


class SourceRecords:
    """The aliases, and the tokens of logins by them."""

    def __init__(self, store: Store, revoker: Revoker, mounts: AuthMountTable) -> None:
        self._store = store
        self._revoker = revoker
        self._mounts = mounts

    def list_accessors(self) -> list[str]:
        """Of all auth mounts that are enabled."""
        return [row.accessor for row in self._mounts.list_mounts()]

    async def list_due(self, accessor: str, before: int, limit: int) -> list[EntityAliasRow]:
        """Aliases of a mount whose source was last asked at `before` or earlier, oldest first."""
        query = StoreQuery(
            equals={"mount_accessor": accessor},
            at_most=("verified_at", before),
            smallest_first=True,
            limit=limit,
        )
        return await self._store.select(ENTITY_ALIASES, query)

    async def newest_token(self, alias_key: str, now: int) -> TokenRow | None:
        """The newest token of a login by this alias that has not expired."""
        alias = await self._store.get(ENTITY_ALIASES, alias_key)
        if alias is None:
            return None
        newest: TokenRow | None = None
        query: StoreQuery | None = StoreQuery(equals={"user_id": alias.entity_id})
        while query is not None:
            rows = await self._store.select(TOKENS, query)
            live = [
                row for row in rows if self._is_of(row, alias) and not is_outside_validity(row, now)
            ]
            newest = max([*live, *filter(None, [newest])], key=_issued_at, default=None)
            query = _next_page(query, rows)
        return newest

    async def note_unused(self, alias_key: str) -> None:
        """Nobody depends on the source's word until the next login."""
        await self._store.commit(partial(_note, alias_key, 0))

    async def note_confirmed(self, alias_key: str, now: int) -> None:
        """The source still has whom it named."""
        await self._store.commit(partial(_note, alias_key, now))

    async def end(self, alias_key: str) -> int:
        """End the tokens of logins by an alias, and what its source's groups gave.

        Returns how many tokens ended, those that came from them included.
        """

        def change(tx: StoreTx) -> list[str]:
            alias = tx.get(ENTITY_ALIASES, alias_key)
            if alias is None:
                return []
            tx.put(ENTITY_ALIASES, replace(alias, verified_at=0, roles=[]))
            entity = tx.get(USERS, alias.entity_id)
            if entity is not None:
                rest = without_mount(entity.member_of or {}, alias.mount_accessor)
                set_memberships(tx, entity, rest)
            ending: list[str] = []
            query: StoreQuery | None = StoreQuery(equals={"user_id": alias.entity_id})
            while query is not None:
                rows = tx.select(TOKENS, query)
                ending += [row.id for row in rows if self._is_of(row, alias)]
                query = _next_page(query, rows)
            return ending

        return await self._revoker.revoke_families(change)

    def _is_of(self, row: TokenRow, alias: EntityAliasRow) -> bool:
        mount = self._mounts.find_by_id(row.mount_id) if row.mount_id else None
        return mount is not None and mount.accessor == alias.mount_accessor


class LoginSources:
    """The login methods as sources that can be asked again."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    async def confirm(self, token: TokenRow) -> bool:
        """As `vault.handlers.source_checks.Sources`."""
        try:
            await self._logins.confirm(token)
        except LoginRefusedError:
            return False
        return True


def _issued_at(row: TokenRow) -> int:
    return row.issued_at


def _next_page(query: StoreQuery, rows: list[TokenRow]) -> StoreQuery | None:
    return replace(query, after=(rows[-1].id,)) if len(rows) == query.limit else None


def _note(alias_key: str, verified_at: int, tx: StoreTx) -> None:
    row = tx.get(ENTITY_ALIASES, alias_key)
    if row is not None and row.verified_at:
        tx.put(ENTITY_ALIASES, replace(row, verified_at=verified_at))
