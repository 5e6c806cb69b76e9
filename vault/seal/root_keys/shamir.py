"""A root key that exists nowhere but in people's shares: any k of n unseal the vault."""

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from vault.crypto.errors import AuthenticationFailed, UnsealRefused
from vault.crypto.random import random_bytes
from vault.seal.root_keys import NewRootKey
from vault.seal.root_keys.shares import ROOT_KEY_SIZE, SealConfig, ShareCollection, split_root_key

T = TypeVar("T")


class UnsealProgress(Struct, frozen=True):
    """How far unsealing is: `progress` of `threshold`; `nonce` is "" before the first share."""

    shares: int
    threshold: int
    progress: int
    nonce: str


class ShamirRootKey:
    """Collects shares, at most `threshold` at a time, and forgets them at each outcome.

    Belongs to one task.
    """

    kind = "shamir"

    def __init__(self, config: SealConfig) -> None:
        self.config = config
        self._attempt: ShareCollection | None = None

    def create(self) -> NewRootKey:
        """A new root key with its shares, to be shown once and kept nowhere."""
        root_key = random_bytes(ROOT_KEY_SIZE)
        return NewRootKey(root_key, split_root_key(root_key, self.config))

    def load(self) -> bytes | None:
        """None: people must unseal."""
        return None

    def submit_share(self, share: bytes, open_keyring: Callable[[bytes], T]) -> T | UnsealProgress:
        """Progress, or at the k-th distinct share what `open_keyring(root_key)` returns.

        The shares are forgotten then, whatever comes of it. Raises `MalformedShare` (progress
        stays) as `ShareCollection.add_share`, and `UnsealRefused` (progress starts again) when
        `open_keyring` raises `AuthenticationFailed`: at least one share is wrong, nobody can say
        which.
        """
        attempt = (self._attempt or ShareCollection.begin(self.config)).add_share(share)
        if not attempt.is_complete:
            self._attempt = attempt
            return self.progress()
        self.reset()
        try:
            return open_keyring(attempt.combine())
        except AuthenticationFailed as error:
            raise UnsealRefused("these shares do not open the keyring: start again") from error

    def progress(self) -> UnsealProgress:
        """Where unsealing stands."""
        attempt = self._attempt
        return UnsealProgress(
            shares=self.config.shares,
            threshold=self.config.threshold,
            progress=attempt.progress if attempt else 0,
            nonce=attempt.nonce if attempt else "",
        )

    def reset(self) -> None:
        """Forget the shares offered so far, and the attempt's nonce."""
        self._attempt = None
