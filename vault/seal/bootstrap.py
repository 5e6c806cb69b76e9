"""The few rows that must be readable while sealed, and the first rows of a new vault."""

from collections.abc import Callable, Mapping
from typing import Final

from actors import World
from vault.barrier import BREAK_GLASS_ROW, KEYRING_ROW, HmacRowGuard
from vault.crypto import credentials
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.hmac import HmacKey
from vault.crypto.keyring import Keyring
from vault.model.identity import ROOT_POLICY
from vault.model.records import SystemRow, TokenRow
from vault.seal.anchor.commit_stamp import CommitStampWriter, StampBase, StampTimes
from vault.seal.anchor.row_totals import RowTotals
from vault.seal.manager import SEAL_ROW, initialized_error
from vault.store.interface import ConstraintError, StoreBackend, StoreSession, WriteSet
from vault.store.tables import SYSTEM, TOKENS
from vault.store.transaction import StoreTx, TransactionBatch

_READABLE: Final = (SEAL_ROW, KEYRING_ROW, BREAK_GLASS_ROW)


class BackendSystemTable:
    """`vault.seal.manager.SystemTable` on a backend that is open and that no store has."""

    def __init__(self, backend: StoreBackend, world: World) -> None:
        self._backend = backend
        self._world = world

    async def load_rows(self) -> Mapping[str, bytes]:
        """The rows that are there. Raises `UnavailableError` when the database does."""
        return await self._world.run_sync(self._load)

    async def create_vault(
        self, keyring: Keyring, rows: list[SystemRow], root_token: str | None
    ) -> str:
        """Write the first rows and the root token, all or none; returns the token's text.

        Raises `ConflictError` (`initialized`) when there is a vault already: of several agents that
        initialize one database at once, exactly one does not get that.
        """
        pepper = HmacKey(keyring.pepper)
        minted = (
            credentials.adopt_token(pepper, root_token)
            if root_token
            else credentials.mint_token(pepper)
        )
        token = root_token_row(minted, self._world.now())

        def change(tx: StoreTx) -> None:
            if tx.get(SYSTEM, SEAL_ROW) is not None:
                raise initialized_error()
            tx.insert_new(SYSTEM, rows)
            tx.put(TOKENS, token)

        try:
            await self._world.run_sync(self._create, keyring, change)
        except ConstraintError:  # by a transaction that was not seen in this one
            raise initialized_error() from None
        return minted.text

    def _create(self, keyring: Keyring, change: Callable[[StoreTx], None]) -> None:
        """The first transaction; its commit stamp is what all later ones count on from."""
        times = StampTimes(self._world.now(), self._world.clock.value)
        marker = CommitStampWriter(
            DerivedAnchorKeys(keyring),
            base=StampBase(0, RowTotals()),
            written=b"",
            replaced=None,  # of another vault, which the rows that are inserted contradict
            times=lambda: times,
        )

        def apply(session: StoreSession) -> WriteSet:
            batch = TransactionBatch(session, HmacRowGuard(keyring), None)
            batch.run_change(change)
            marker.stamp(batch)
            return batch.write_set()

        self._backend.write(apply)

    def _load(self) -> dict[str, bytes]:
        with self._backend.read() as session:
            found = session.get_many(SYSTEM, [(name,) for name in _READABLE])
        return {row.name: row.value for row in found.values()}


def root_token_row(minted: credentials.MintedCredential, now: int) -> TokenRow:
    """A root token as OpenBao makes it: an orphan that never expires."""
    return TokenRow(
        id=minted.id,
        accessor=credentials.mint_accessor(),
        secret_hash=minted.secret_hash,
        display_name="root",
        policies=[ROOT_POLICY],
        path="auth/token/root",
        created_at=now,
        issued_at=now,
        renewable=False,
    )
