"""Root key providers: where the key above the keyring comes from, one place a file."""

from typing import Protocol

from msgspec import Struct


class NewRootKey(Struct, frozen=True, eq=False):
    """A root key that was just made, and the shares to hand out once (none: it unseals alone)."""

    root_key: bytes
    shares: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"NewRoot({len(self.shares)} shares)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("shares", len(self.shares))]


class RootKeyProvider(Protocol):
    """Makes a root key once, and gives it again at every start if it can do so alone.

    Calls may block on a disk or a network: the caller runs them in a thread.
    """

    @property
    def kind(self) -> str:
        """Its name in the configuration and in the seal status."""
        ...

    def create(self) -> NewRootKey:
        """Make the root key. When this returns, it will be there after a power cut."""
        ...

    def load(self) -> bytes | None:
        """The root key, or None when people must unseal."""
        ...
