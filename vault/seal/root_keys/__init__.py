"""Root key providers: where the key above the keyring comes from, one place a file."""

from msgspec import Struct


class NewRootKey(Struct, frozen=True, eq=False):
    """A root key that was just made, and the shares to hand out once (none: it unseals alone)."""

    root_key: bytes
    shares: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"NewRootKey({len(self.shares)} shares)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("shares", len(self.shares))]
