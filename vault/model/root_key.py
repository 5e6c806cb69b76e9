"""States of the attempts to make a root token or to replace the root key."""

from typing import Final

from msgspec import Struct

NO_ATTEMPT: Final = "no_attempt"
"""Code of the `ValidationError` of what an attempt is needed for."""


class GenerateRootStatus(Struct, frozen=True, kw_only=True):
    """An attempt to make a root token; `otp` is told once, `encoded_token` when it is complete."""

    nonce: str = ""
    started: bool = False
    progress: int = 0
    required: int = 0
    complete: bool = False
    encoded_token: str = ""
    otp: str = ""
    otp_length: int = 0

    def __repr__(self) -> str:
        return f"RootState(progress={self.progress}, complete={self.complete})"


class RekeyStatus(Struct, frozen=True, kw_only=True):
    """An attempt to replace the root key: by shares `t` of `n`, with `required` of the old ones."""

    nonce: str = ""
    started: bool = False
    t: int = 0
    n: int = 0
    progress: int = 0
    required: int = 0
    verification_required: bool = False
    verification_nonce: str = ""


class NewShares(Struct, frozen=True, kw_only=True):
    """The new shares, told once. They count when they are verified, or when it is committed."""

    nonce: str
    shares: tuple[bytes, ...]
    verification_required: bool
    verification_nonce: str

    def __repr__(self) -> str:
        return f"NewShares({len(self.shares)})"


class RekeyResult(Struct, frozen=True):
    """Another root key is in force. `warning`: what is left to be done by hand; empty: nothing."""

    warning: str = ""


class VerificationStatus(Struct, frozen=True, kw_only=True):
    """How many of the new shares have been shown; complete: they are in force."""

    nonce: str
    started: bool = False
    t: int = 0
    n: int = 0
    progress: int = 0
    complete: bool = False


class StartGenerateRoot(Struct, frozen=True):
    """What to mask the token with; empty: something new."""

    otp: str = ""

    def __repr__(self) -> str:
        return "BeginRoot()"


class StartRekey(Struct, frozen=True, kw_only=True):
    """How many new shares, and how many of them unseal. `verifies`: they have to be shown.

    `recovery`: of the recovery key, not of the root key.
    """

    shares: int
    threshold: int
    verifies: bool = False
    recovery: bool = False


class SubmitShare(Struct, frozen=True):
    """A share, to the attempt with this nonce."""

    share: bytes
    nonce: str

    def __repr__(self) -> str:
        return f"OfferShare(nonce={self.nonce!r})"


class RotateRootKey(Struct, frozen=True, kw_only=True):
    """`new_root_key`: wrap another root key, and the keyring with it, and not the present one."""

    new_root_key: bool = False


class RotatedRootKey(Struct, frozen=True, kw_only=True):
    """The key of a key provider that wraps the root key now, and the one that did.

    Of several providers the first whose key is another one now; `others` are the rest of these, and
    `skipped` names those that did not answer, whose turn comes once they do.
    """

    provider: str
    type: str
    key: str
    version: str
    algorithm: str
    previous_key: str
    previous_version: str
    others: tuple["RotatedRootKey", ...] = ()
    skipped: tuple[str, ...] = ()


class RenewedWrappings(Struct, frozen=True, kw_only=True):
    """Names of the key providers that have wrapped the root key now, and of those let go."""

    wrapped: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class SealMigrationStatus(Struct, frozen=True, kw_only=True):
    """Moving the root key to the seal of the configuration: from which, and how far it is.

    `pending`: there is something to move. `complete`: the call has moved it.
    """

    pending: bool
    source: str
    target: str
    nonce: str = ""
    progress: int = 0
    required: int = 0
    complete: bool = False
    warning: str = ""
    """What is left to be done by hand; empty: nothing."""


class AttemptNonce(Struct, frozen=True):
    """The attempt with this nonce."""

    nonce: str
