"""The footing: what an opening vault finds it stands on, before anything is built on it.

Database, audit log and anchor are held against each other while nothing of them is changed. Only
then store and log are opened, and if an operator has accepted that something was set back, that is
written down first: in the keyring's epoch, in the audit log, in the anchor.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from actors import World
from vault.anchor import acceptance
from vault.anchor.aftermath import event
from vault.anchor.file import AnchorFile
from vault.anchor.keeper import Keeper
from vault.anchor.mark import Marker
from vault.anchor.opening import Standing, There, stand, unavailable
from vault.audit.broker import Broker
from vault.audit.keys import AuditKeys
from vault.audit.layout import Layout
from vault.audit.recovery import Recovered, recover
from vault.barrier import KEYRING_ROW
from vault.crypto.anchoring import AnchoringKeys
from vault.crypto.keyring import Keyring
from vault.errors import UnavailableError
from vault.model.records import SystemRow
from vault.store.interface import Backend
from vault.store.store import Store
from vault.store.tables import SYSTEM


@dataclass(frozen=True)
class Places:
    """Where anchor and audit log lie."""

    anchor: Path
    log: Path


@dataclass(frozen=True)
class Footing:
    """`keyring` is the one to go on with; `marker` and `keeper` remember from now on."""

    keyring: Keyring
    standing: Standing
    marker: Marker
    keeper: Keeper
    found: Recovered
    anchor: Path
    world: World

    @property
    def is_first(self) -> bool:
        """Whether nobody has stood here before: there is no log, and none is missing."""
        return not self.standing.accepted and not self.found.position.chain.size

    @asynccontextmanager
    async def taken(self, store: Store, root_key: bytes) -> AsyncIterator[None]:
        """After an acceptance: the new epoch is the store's first commit. Else nothing to do."""
        if self.standing.accepted:
            row = SystemRow(name=KEYRING_ROW, value=self.keyring.encode(root_key))
            await store.commit(lambda tx: tx.put(SYSTEM, row))
        yield

    async def confirm(self, audit: Broker) -> None:
        """Put an acceptance on record, and have the anchor say where we are.

        Raises `UnavailableError`.
        """
        if self.standing.accepted:
            await audit.record(event(self.standing, self.world))
        await self.keeper.write()
        try:
            await self.world.run_sync(acceptance.remove, self.anchor)
        except OSError as error:
            raise unavailable(error) from error


async def find_footing(
    places: Places, backend: Backend, keyring: Keyring, audit: AuditKeys, world: World
) -> Footing:
    """Look at what is there. Raises as `stand`, and `audit_log_damaged` as the log's recovery."""
    keys, file = AnchoringKeys(keyring), AnchorFile(places.anchor)
    found = await world.run_sync(_log_end, places.log, audit, keyring.vault)
    there = There(backend, file, found, keyring.epoch)
    standing = await world.run_sync(stand, there, keys, world.now())
    if standing.accepted:
        keyring = keyring.raised(standing.epoch)
    marker = Marker(
        keys,
        base=standing.base,
        written=standing.written,
        epoch=standing.epoch,
        checkpoint=standing.checkpoint,
        anchored=standing.anchored,
    )
    keeper = Keeper(file, keys, marker, world)
    return Footing(keyring, standing, marker, keeper, found, file.path, world)


def _log_end(log: Path, keys: AuditKeys, vault: str) -> Recovered:
    """The end of the log, which is not there before the first start."""
    try:
        return recover(Layout(log), keys, vault)
    except OSError as error:
        raise UnavailableError(
            "audit_unavailable",
            f"the audit log cannot be read ({error.filename}: {error.strerror})",
        ) from error
