"""A root key that exists nowhere but in people's shares: any k of n unseal the vault."""

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from vault.crypto.errors import AuthenticationFailed, UnsealRefused
from vault.crypto.kek import NewRoot
from vault.crypto.random import random_bytes
from vault.crypto.unseal import ROOT_KEY_SIZE, SealConfig, UnsealAttempt, deal

T = TypeVar("T")


class Progress(Struct, frozen=True):
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
        self._attempt: UnsealAttempt | None = None

    def initialise(self) -> NewRoot:
        """A new root key with its shares, to be shown once and kept nowhere."""
        root_key = random_bytes(ROOT_KEY_SIZE)
        return NewRoot(root_key, deal(root_key, self.config))

    def load(self) -> bytes | None:
        """None: people must unseal."""
        return None

    def offer(self, share: bytes, open_keyring: Callable[[bytes], T]) -> T | Progress:
        """Progress, or at the k-th distinct share what `open_keyring(root_key)` returns.

        The shares are forgotten then, whatever comes of it. Raises `MalformedShare` (progress
        stays) as `UnsealAttempt.offer`, and `UnsealRefused` (progress starts again) when
        `open_keyring` raises `AuthenticationFailed`: at least one share is wrong, nobody can say
        which.
        """
        attempt = (self._attempt or UnsealAttempt.begin(self.config)).offer(share)
        if not attempt.complete:
            self._attempt = attempt
            return self.progress()
        self.reset()
        try:
            return open_keyring(attempt.root_key())
        except AuthenticationFailed as error:
            raise UnsealRefused("these shares do not open the keyring: start again") from error

    def progress(self) -> Progress:
        """Where unsealing stands."""
        attempt = self._attempt
        return Progress(
            shares=self.config.shares,
            threshold=self.config.threshold,
            progress=attempt.progress if attempt else 0,
            nonce=attempt.nonce if attempt else "",
        )

    def reset(self) -> None:
        """Forget the shares offered so far, and the attempt's nonce."""
        self._attempt = None
