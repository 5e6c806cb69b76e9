"""A root token for whoever has none, another root key: shares of the root key prove who may.

`sys.generate_root.*` take no credential, because they are the way back when there is none. Rekeying
takes one beside the shares, so that nobody else begins or ends it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from vault import operations
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.operation import Capability, OperationType, P, R
from vault.model.payloads import Nothing
from vault.model.root_key import (
    AttemptNonce,
    GenerateRootStatus,
    NewShares,
    RekeyResult,
    RekeyStatus,
    RenewedWrappings,
    RotatedRootKey,
    RotateRootKey,
    SealMigrationStatus,
    StartGenerateRoot,
    StartRekey,
    SubmitShare,
    VerificationStatus,
)


class RootKey(Protocol):
    """Documented at `vault.seal.root_key_operations.RootKeyOperations`."""

    async def generate_root_status(self) -> GenerateRootStatus:
        """See `RootKeyOperations`."""
        ...

    async def start_generate_root(self, otp: str) -> GenerateRootStatus:
        """See `RootKeyOperations`."""
        ...

    async def submit_generate_root_share(self, share: bytes, nonce: str) -> GenerateRootStatus:
        """See `RootKeyOperations`."""
        ...

    async def cancel_generate_root(self) -> None:
        """See `RootKeyOperations`."""
        ...

    async def rekey_status(self) -> RekeyStatus:
        """See `RootKeyOperations`."""
        ...

    async def start_rekey(
        self, shares: int, threshold: int, *, require_verification: bool, recovery: bool = False
    ) -> RekeyStatus:
        """See `RootKeyOperations`."""
        ...

    async def submit_rekey_share(self, share: bytes, nonce: str) -> RekeyStatus | NewShares:
        """See `RootKeyOperations`."""
        ...

    async def commit_rekey(self, nonce: str) -> RekeyResult:
        """See `RootKeyOperations`."""
        ...

    async def verification_status(self) -> VerificationStatus:
        """See `RootKeyOperations`."""
        ...

    async def submit_verification_share(self, share: bytes, nonce: str) -> VerificationStatus:
        """See `RootKeyOperations`."""
        ...

    async def restart_verification(self) -> VerificationStatus:
        """See `RootKeyOperations`."""
        ...

    async def cancel_rekey(self) -> None:
        """See `RootKeyOperations`."""
        ...

    async def rotate_wrapping(self, *, new_root_key: bool = False) -> RotatedRootKey:
        """See `RootKeyOperations`."""
        ...

    async def renew_wrappings(self) -> RenewedWrappings:
        """See `RootKeyOperations`."""
        ...

    async def migration_status(self) -> SealMigrationStatus:
        """See `RootKeyOperations`."""
        ...

    async def submit_migration_share(self, share: bytes, nonce: str) -> SealMigrationStatus:
        """See `RootKeyOperations`."""
        ...

    async def cancel_migration(self) -> None:
        """See `RootKeyOperations`."""
        ...


@dataclass(frozen=True)
class RootKeyHandlers:
    """The handlers of `sys.generate_root.*`, `sys.rekey.*`, and of the seal of an open vault."""

    root_key: RootKey

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.READ_GENERATE_ROOT,
                run=self.root_state,
                capability=None,
                authorized_by_shares=True,
                audit_response=_audit_response,
            ),
            _share_handler(operations.START_GENERATE_ROOT, self.begin_root),
            _share_handler(operations.SUBMIT_GENERATE_ROOT_SHARE, self.offer_root),
            _share_handler(operations.CANCEL_GENERATE_ROOT, self.cancel_root),
            Handler(
                operations.READ_REKEY,
                run=self.rekey_state,
                capability=Capability.READ,
                audit_response=_audit_response,
            ),
            _sudo_handler(operations.START_REKEY, self.begin_rekey, discloses=True),
            _sudo_handler(operations.SUBMIT_REKEY_SHARE, self.offer_rekey),
            _sudo_handler(operations.COMMIT_REKEY, self.commit_rekey),
            _sudo_handler(operations.CANCEL_REKEY, self.cancel_rekey),
            Handler(
                operations.READ_REKEY_VERIFICATION,
                run=self.verify_state,
                capability=Capability.READ,
                audit_response=_audit_response,
            ),
            _sudo_handler(operations.SUBMIT_VERIFICATION_SHARE, self.offer_verify),
            _sudo_handler(operations.RESTART_VERIFICATION, self.restart_verify),
            Handler(
                operations.ROTATE_ROOT_KEY,
                run=self.rotate_root,
                capability=Capability.SUDO,
                mutates=True,
            ),
            Handler(
                operations.RENEW_WRAPPINGS,
                run=self.renew_wrappings,
                capability=Capability.SUDO,
                mutates=True,
            ),
            Handler(
                operations.READ_SEAL_MIGRATION,
                run=self.migration_state,
                capability=Capability.READ,
                audit_response=_audit_migration,
            ),
            Handler(
                operations.MIGRATE_SEAL,
                run=self.migrate_seal,
                capability=Capability.SUDO,
                mutates=True,
                audit_request=_nonce,
                audit_response=_audit_migration,
            ),
            Handler(
                operations.UNSEAL_MIGRATE,
                run=self.migrate_seal,
                capability=None,
                authorized_by_shares=True,
                mutates=True,
                audit_request=_nonce,
                audit_response=_audit_migration,
            ),
            _sudo_handler(operations.CANCEL_SEAL_MIGRATION, self.cancel_migration),
        )

    async def root_state(self, _: Call[Nothing]) -> GenerateRootStatus:
        """How far an attempt to make a root token is."""
        return await self.root_key.generate_root_status()

    async def begin_root(self, call: Call[StartGenerateRoot]) -> GenerateRootStatus:
        """Begin one."""
        return await self.root_key.start_generate_root(call.payload.otp)

    async def offer_root(self, call: Call[SubmitShare]) -> GenerateRootStatus:
        """Offer a share to it."""
        return await self.root_key.submit_generate_root_share(
            call.payload.share, call.payload.nonce
        )

    async def cancel_root(self, _: Call[Nothing]) -> None:
        """Give it up."""
        await self.root_key.cancel_generate_root()

    async def rekey_state(self, _: Call[Nothing]) -> RekeyStatus:
        """How far an attempt to replace the root key is."""
        return await self.root_key.rekey_status()

    async def begin_rekey(self, call: Call[StartRekey]) -> RekeyStatus:
        """Begin one."""
        new = call.payload
        return await self.root_key.start_rekey(
            new.shares,
            new.threshold,
            require_verification=new.verifies,
            recovery=new.recovery,
        )

    async def offer_rekey(self, call: Call[SubmitShare]) -> RekeyStatus | NewShares:
        """Offer an old share to it."""
        return await self.root_key.submit_rekey_share(call.payload.share, call.payload.nonce)

    async def commit_rekey(self, call: Call[AttemptNonce]) -> RekeyResult:
        """Have the new shares in force."""
        return await self.root_key.commit_rekey(call.payload.nonce)

    async def cancel_rekey(self, _: Call[Nothing]) -> None:
        """Give it up."""
        await self.root_key.cancel_rekey()

    async def verify_state(self, _: Call[Nothing]) -> VerificationStatus:
        """How many of the new shares have been shown."""
        return await self.root_key.verification_status()

    async def offer_verify(self, call: Call[SubmitShare]) -> VerificationStatus:
        """Show a new share."""
        return await self.root_key.submit_verification_share(call.payload.share, call.payload.nonce)

    async def restart_verify(self, _: Call[Nothing]) -> VerificationStatus:
        """Show them from the first one on."""
        return await self.root_key.restart_verification()

    async def rotate_root(self, call: Call[RotateRootKey]) -> RotatedRootKey:
        """Wrap the root key, or another one, by the newest versions of the providers' keys."""
        return await self.root_key.rotate_wrapping(new_root_key=call.payload.new_root_key)

    async def renew_wrappings(self, _: Call[Nothing]) -> RenewedWrappings:
        """Wrap by providers that were away or are new, and let go of those that nobody has."""
        return await self.root_key.renew_wrappings()

    async def migration_state(self, _: Call[Nothing]) -> SealMigrationStatus:
        """Whether the root key is to be kept otherwise, and how far that is."""
        return await self.root_key.migration_status()

    async def migrate_seal(self, call: Call[SubmitShare]) -> SealMigrationStatus:
        """Offer a share to it."""
        return await self.root_key.submit_migration_share(call.payload.share, call.payload.nonce)

    async def cancel_migration(self, _: Call[Nothing]) -> None:
        """Forget the shares that were offered to it."""
        await self.root_key.cancel_migration()


def _share_handler(
    operation: OperationType[P, R], run: Callable[[Call[P]], Awaitable[R]]
) -> Handler[P, R]:
    """Whoever brings shares of the root key; the record has no share and no token."""
    return Handler(
        operation,
        run=run,
        capability=None,
        authorized_by_shares=True,
        mutates=True,
        audit_request=_nonce,
        audit_response=_audit_response,
    )


def _sudo_handler(
    operation: OperationType[P, R],
    run: Callable[[Call[P]], Awaitable[R]],
    *,
    discloses: bool = False,
) -> Handler[P, R]:
    """`discloses`: the record has what is asked for, of which nothing is secret."""
    return Handler(
        operation,
        run=run,
        capability=Capability.SUDO,
        mutates=True,
        audit_request=None if discloses else _nonce,
        audit_response=_audit_response,
    )


def _nonce(payload: object) -> object:
    return {"nonce": getattr(payload, "nonce", "")}


def _audit_response(result: object) -> object:
    """What a record tells of it: never a share, a token or what masks it."""
    names = ("nonce", "progress", "required", "complete")
    return {name: getattr(result, name) for name in names if hasattr(result, name)}


def _audit_migration(result: object) -> object:
    """From which seal to which, and how far."""
    names = ("nonce", "source", "target", "progress", "required", "complete", "warning")
    return {name: getattr(result, name) for name in names}
