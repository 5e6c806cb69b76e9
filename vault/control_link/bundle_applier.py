"""From a staged bundle to one in force: checked by the vault, audited there, then reported.

The vault's own store decides which version is in force and never takes an older one, so applying
the same bundle again after a crash is harmless: the second time it is found applied, and reported.
"""

from collections.abc import Callable
from typing import Final

from actors import World
from protocols.link import codec
from protocols.link import messages as m
from protocols.link.bundle import AcceptedVersion, Bundle, BundleError, hash_of
from protocols.link.errors import RemoteFaultError
from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.vocabulary import AlertCode, PolicyPhase, PolicyReason, Severity
from vault.control_link.database import LinkDatabase, LinkTx
from vault.control_link.host import AppliedBundle, LinkHost
from vault.control_link.message_factory import alert
from vault.control_link.outbox import SqlOutbox
from vault.errors import VaultError

MILLI: Final = 1_000_000


class BundleApplier:
    """Applies what is staged."""

    def __init__(
        self,
        *,
        database: LinkDatabase,
        outbox: SqlOutbox,
        host: LinkHost,
        world: World,
        on_queued: Callable[[], None],
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._host = host
        self._world = world
        self._queued = on_queued
        self.trouble = ""
        """Why the last bundle was refused or is not applied yet; empty when it is in force."""

    async def apply_staged(self) -> bool:
        """Apply the staged bundle, if there is one and the vault is open; whether none is left.

        Raises `UnavailableError` when the control link's database does.
        """
        signed = await self._database.transact(_staged)
        if signed is None:
            return True
        if not self._host.is_open:
            self.trouble = "a bundle waits until the vault is unsealed"
            return False
        try:
            applied = await self._host.apply_bundle(signed)
        except BundleError as error:
            self.trouble = str(error)
            await self._report(signed, _refused(signed, error.reason, self._now()))
        except VaultError as error:
            self.trouble = f"a bundle waits: {error}"
            return False
        else:
            self.trouble = ""
            await self._report(signed, _applied(applied, self._now()))
        return True

    async def discard_staged(self) -> None:
        """Let go of what is staged: the owner has dropped the control plane's policies."""
        await self._database.transact(lambda tx: tx.execute("DELETE FROM staged_bundle"))
        self.trouble = ""

    async def report_status(self, applied: AppliedBundle) -> None:
        """Say once more what is in force."""
        if applied.stored.version:
            await self._outbox.append(_applied(applied, self._now()))
            self._queued()

    async def _report(self, signed: bytes, status: m.PolicyStatus | None) -> None:
        """Forget the staged bundle and owe the control plane its status: both or neither."""
        raised = alert(
            AlertCode.POLICY_REFUSED, Severity.WARNING, self._world.new_id(), self._world.now()
        )

        def change(tx: LinkTx) -> None:
            tx.execute("DELETE FROM staged_bundle WHERE signed = ?", [signed])
            if status is not None:
                self._outbox.append_in(tx, status)
            if status is None or status.phase is PolicyPhase.REFUSED:
                self._outbox.append_in(tx, raised)

        await self._database.transact(change)
        self._queued()

    def _now(self) -> int:
        return self._world.now() // MILLI


def _staged(tx: LinkTx) -> bytes | None:
    row = tx.execute("SELECT signed FROM staged_bundle").fetchone()
    return row[0] if row else None


def _applied(applied: AppliedBundle, at: int) -> m.PolicyStatus:
    return m.PolicyStatus(
        version=applied.stored.version,
        bundle_hash=applied.stored.hash,
        phase=PolicyPhase.APPLIED,
        reason=PolicyReason.NONE,
        narrowed=applied.narrowed,
        at=at,
    )


def _refused(signed: bytes, reason: PolicyReason, at: int) -> m.PolicyStatus | None:
    """None for bytes that name no version: the alert alone tells of them."""
    named = _named(signed)
    if named is None:
        return None
    return m.PolicyStatus(
        version=named.version,
        bundle_hash=named.hash,
        phase=PolicyPhase.REFUSED,
        reason=reason,
        narrowed=0,
        at=at,
    )


def _named(signed: bytes) -> AcceptedVersion | None:
    """What the bytes call themselves, whoever signed them; not to be believed."""
    data = signed[SIGNATURE_SIZE:]
    try:
        return AcceptedVersion(codec.decode_struct(data, Bundle).version, hash_of(data))
    except RemoteFaultError:
        return None
