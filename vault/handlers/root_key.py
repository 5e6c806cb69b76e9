"""A root token for whoever has none, another root key: shares of the root key prove who may.

`sys.generate_root.*` take no credential, because they are the way back when there is none. Rekeying
takes one beside the shares, so that nobody else begins or ends it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from vault.handlers.handler import Call, Handler, Handlers
from vault.model.operation import Capability
from vault.model.root_key import (
    GenerateRootStatus,
    NewShares,
    RekeyResult,
    RekeyStatus,
    VerificationStatus,
)


class RootKey(Protocol):
    """Documented at `vault.seal.root_key_operations.RootKey`."""

    async def generate_root_status(self) -> GenerateRootStatus:
        """See `RootKey`."""
        ...

    async def start_generate_root(self, otp: str) -> GenerateRootStatus:
        """See `RootKey`."""
        ...

    async def submit_generate_root_share(self, share: bytes, nonce: str) -> GenerateRootStatus:
        """See `RootKey`."""
        ...

    async def cancel_generate_root(self) -> None:
        """See `RootKey`."""
        ...

    async def rekey_status(self) -> RekeyStatus:
        """See `RootKey`."""
        ...

    async def start_rekey(
        self, shares: int, threshold: int, *, require_verification: bool
    ) -> RekeyStatus:
        """See `RootKey`."""
        ...

    async def submit_rekey_share(self, share: bytes, nonce: str) -> RekeyStatus | NewShares:
        """See `RootKey`."""
        ...

    async def commit_rekey(self, nonce: str) -> RekeyResult:
        """See `RootKey`."""
        ...

    async def verification_status(self) -> VerificationStatus:
        """See `RootKey`."""
        ...

    async def submit_verification_share(self, share: bytes, nonce: str) -> VerificationStatus:
        """See `RootKey`."""
        ...

    async def restart_verification(self) -> VerificationStatus:
        """See `RootKey`."""
        ...

    async def cancel_rekey(self) -> None:
        """See `RootKey`."""
        ...


@dataclass(frozen=True)
class RootKeyHandlers:
    """The handlers of `sys.generate_root.*` and `sys.rekey.*`."""

    root_key: RootKey

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return {
            "sys.generate_root.read": Handler(
                run=self.root_state,
                capability=None,
                authorized_by_shares=True,
                audit_response=_audit_response,
            ),
            "sys.generate_root.begin": _share_handler(self.begin_root),
            "sys.generate_root.offer": _share_handler(self.offer_root),
            "sys.generate_root.cancel": _share_handler(self.cancel_root),
            "sys.rekey.read": Handler(
                run=self.rekey_state, capability=Capability.READ, audit_response=_audit_response
            ),
            "sys.rekey.begin": _sudo_handler(self.begin_rekey, discloses=True),
            "sys.rekey.offer": _sudo_handler(self.offer_rekey),
            "sys.rekey.commit": _sudo_handler(self.commit_rekey),
            "sys.rekey.cancel": _sudo_handler(self.cancel_rekey),
            "sys.rekey.verify.read": Handler(
                run=self.verify_state, capability=Capability.READ, audit_response=_audit_response
            ),
            "sys.rekey.verify.offer": _sudo_handler(self.offer_verify),
            "sys.rekey.verify.restart": _sudo_handler(self.restart_verify),
        }

    async def root_state(self, _: Call) -> GenerateRootStatus:
        """How far an attempt to make a root token is."""
        return await self.root_key.generate_root_status()

    async def begin_root(self, call: Call) -> GenerateRootStatus:
        """Begin one."""
        return await self.root_key.start_generate_root(call.payload.otp)

    async def offer_root(self, call: Call) -> GenerateRootStatus:
        """Offer a share to it."""
        return await self.root_key.submit_generate_root_share(
            call.payload.share, call.payload.nonce
        )

    async def cancel_root(self, _: Call) -> None:
        """Give it up."""
        await self.root_key.cancel_generate_root()

    async def rekey_state(self, _: Call) -> RekeyStatus:
        """How far an attempt to replace the root key is."""
        return await self.root_key.rekey_status()

    async def begin_rekey(self, call: Call) -> RekeyStatus:
        """Begin one."""
        new = call.payload
        return await self.root_key.start_rekey(
            new.shares, new.threshold, require_verification=new.verifies
        )

    async def offer_rekey(self, call: Call) -> RekeyStatus | NewShares:
        """Offer an old share to it."""
        return await self.root_key.submit_rekey_share(call.payload.share, call.payload.nonce)

    async def commit_rekey(self, call: Call) -> RekeyResult:
        """Have the new shares in force."""
        return await self.root_key.commit_rekey(call.payload.nonce)

    async def cancel_rekey(self, _: Call) -> None:
        """Give it up."""
        await self.root_key.cancel_rekey()

    async def verify_state(self, _: Call) -> VerificationStatus:
        """How many of the new shares have been shown."""
        return await self.root_key.verification_status()

    async def offer_verify(self, call: Call) -> VerificationStatus:
        """Show a new share."""
        return await self.root_key.submit_verification_share(call.payload.share, call.payload.nonce)

    async def restart_verify(self, _: Call) -> VerificationStatus:
        """Show them from the first one on."""
        return await self.root_key.restart_verification()


def _share_handler(run: Callable[[Call], Any]) -> Handler:
    """Whoever brings shares of the root key; the record has no share and no token."""
    return Handler(
        run=run,
        capability=None,
        authorized_by_shares=True,
        mutates=True,
        audit_request=_nonce,
        audit_response=_audit_response,
    )


def _sudo_handler(run: Callable[[Call], Any], *, discloses: bool = False) -> Handler:
    """`discloses`: the record has what is asked for, of which nothing is secret."""
    return Handler(
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
