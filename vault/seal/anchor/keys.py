"""The keyed functions that anchoring needs, handed in: this package never holds key bytes."""

from typing import Protocol


class AnchorKeys(Protocol):
    """Of one vault. Each function has a key of its own, and none of them serves anything else."""

    @property
    def vault(self) -> str:
        """The vault's id."""
        ...

    def mac(self, data: bytes, /) -> bytes:
        """32 bytes."""
        ...

    def row(self, encoded: bytes, /) -> bytes:
        """32 bytes for an encoded row."""
        ...

    def seal(self, epoch: int, totals: bytes, /) -> bytes:
        """Under the key of that epoch."""
        ...

    def open_(self, epoch: int, box: bytes, /) -> bytes:
        """What was sealed in that epoch. Raises `ValueError`."""
        ...
