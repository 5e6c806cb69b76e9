"""Unsealing with shares, as a pure state machine: offer shares until there are enough."""

import hmac
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from vault.crypto import shamir
from vault.crypto.errors import MalformedShare, UnsealRefused
from vault.crypto.random import random_bytes

ROOT_KEY_SIZE = 32
NONCE_SIZE = 16


class SealConfig(Struct, frozen=True):
    """How a root key is shared: any `threshold` of `shares`.

    Raises `ValueError` unless it is 1 of 1 or 2 <= threshold <= shares <= 255. 1 of many is
    refused: each share would be the root key itself, in many hands.
    """

    shares: int
    threshold: int

    def __post_init__(self) -> None:
        single = self.shares == self.threshold == 1
        several = shamir.MIN_THRESHOLD <= self.threshold <= self.shares <= shamir.MAX_SHARES
        if not (single or several):
            raise ValueError("a seal needs 1 of 1, or 2 <= threshold <= shares <= 255")

    @property
    def share_size(self) -> int:
        """Bytes of one share: the root key itself for 1 of 1, and one more otherwise."""
        return ROOT_KEY_SIZE if self.threshold == 1 else ROOT_KEY_SIZE + 1


def split_root_key(root_key: bytes, config: SealConfig) -> tuple[bytes, ...]:
    """The shares of a 32-byte root key. Raises `ValueError` for another size."""
    if len(root_key) != ROOT_KEY_SIZE:
        raise ValueError("a root key is 32 bytes")
    if config.threshold == 1:
        return (root_key,)
    return shamir.split(root_key, config.shares, config.threshold)


class ShareCollection(Struct, frozen=True, eq=False):
    """The shares offered so far. Immutable: `offer` gives the next state.

    `nonce` names the attempt, so that people who offer shares from different places see whether
    they work on the same one. Never shows the shares.
    """

    config: SealConfig
    nonce: str
    parts: tuple[bytes, ...] = ()

    @classmethod
    def begin(cls, config: SealConfig) -> Self:
        """An attempt with no shares and a fresh nonce."""
        return cls(config, random_bytes(NONCE_SIZE).hex())

    @property
    def progress(self) -> int:
        """How many distinct shares are in."""
        return len(self.parts)

    @property
    def is_complete(self) -> bool:
        """Whether `root_key` can be called."""
        return len(self.parts) >= self.config.threshold

    def add_share(self, share: bytes) -> Self:
        """With `share` in, or unchanged if it already was (which is no error, as in Vault).

        Every part is compared in constant time. Raises `MalformedShare`, leaving this attempt
        good, for a wrong length, coordinate 0, or another share with a coordinate already in;
        `UnsealRefused` when the attempt is already complete.
        """
        if self.is_complete:
            raise UnsealRefused("this attempt already has its shares")
        if len(share) != self.config.share_size:
            raise MalformedShare(f"a share of this vault is {self.config.share_size} bytes")
        if sum(hmac.compare_digest(share, part) for part in self.parts):
            return self
        if self.config.threshold > 1:
            self._check_coordinate(share)
        return replace(self, parts=(*self.parts, share))

    def combine(self) -> bytes:
        """What the shares combine to: the root key, if they belong together.

        Only opening the keyring tells. Raises `UnsealRefused` before the attempt is complete.
        """
        if not self.is_complete:
            raise UnsealRefused("not enough shares yet")
        return self.parts[0] if self.config.threshold == 1 else shamir.combine(self.parts)

    def _check_coordinate(self, share: bytes) -> None:
        coordinate = share[-1]
        if coordinate == 0:
            raise MalformedShare("no share has coordinate 0")
        if any(part[-1] == coordinate for part in self.parts):
            raise MalformedShare(
                "a different share with this coordinate is already in: one of the two was mistyped "
                "or is of another set; offer another share, or begin the attempt anew"
            )

    def __repr__(self) -> str:
        return f"UnsealAttempt(nonce={self.nonce!r}, {self.progress}/{self.config.threshold})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("nonce", self.nonce), ("progress", self.progress)]
