"""The few rows that must be readable while sealed, and the first rows of a new vault."""

from collections.abc import Callable, Mapping
from typing import Final

from actors import World
from vault.anchor.mark import Base, Marker, Times
from vault.anchor.rows import Totals
from vault.barrier import KEYRING_ROW, RowGuard
from vault.crypto import credentials
from vault.crypto.anchoring import AnchoringKeys
from vault.crypto.keyring import Keyring
from vault.crypto.mac import MacKey
from vault.model.identity import ROOT_POLICY
from vault.model.records import SystemRow, TokenRow
from vault.store.interface import Backend, Session, Writes
from vault.store.tables import SYSTEM, TOKENS
from vault.store.tx import Batch, Tx

SEAL_ROW: Final = "seal"
_READABLE: Final = (SEAL_ROW, KEYRING_ROW)


class Genesis:
    """`vault.gate.SystemTable` on a backend that is open and that no store has."""

    def __init__(self, backend: Backend, world: World) -> None:
        self._backend = backend
        self._world = world

    async def load(self) -> Mapping[str, bytes]:
        """The rows that are there. Raises `UnavailableError` when the database does."""
        return await self._world.run_sync(self._load)

    async def create(self, keyring: Keyring, rows: list[SystemRow], root_token: str | None) -> str:
        """Write the first rows and the root token, all or none; returns the token's text."""
        pepper = MacKey(keyring.pepper)
        minted = (
            credentials.adopt(pepper, root_token) if root_token else credentials.mint_token(pepper)
        )
        token = root_token_row(minted, self._world.now())

        def change(tx: Tx) -> None:
            for row in rows:
                tx.put(SYSTEM, row)
            tx.put(TOKENS, token)

        await self._world.run_sync(self._create, keyring, change)
        return minted.text

    def _create(self, keyring: Keyring, change: Callable[[Tx], None]) -> None:
        """The first transaction; its mark is what all later ones count on from."""
        times = Times(self._world.now(), self._world.clock.value)
        marker = Marker(
            AnchoringKeys(keyring), base=Base(0, Totals()), written=b"", times=lambda: times
        )

        def apply(session: Session) -> Writes:
            batch = Batch(session, RowGuard(keyring), None)
            batch.run(change)
            marker.stamp(batch)
            return batch.writes()

        self._backend.write(apply)

    def _load(self) -> dict[str, bytes]:
        with self._backend.read() as session:
            found = session.get_many(SYSTEM, [(name,) for name in _READABLE])
        return {row.name: row.value for row in found.values()}


def root_token_row(minted: credentials.Minted, now: int) -> TokenRow:
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
