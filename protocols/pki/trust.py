"""The roots that an agent or the control plane trusts: one, and in a rollover two."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from cryptography.x509 import Certificate

from protocols.pki import pin
from protocols.pki.authority import is_cross
from protocols.pki.certificates import parse_certificate, parse_pem_chain, to_der, to_pem
from protocols.pki.errors import ChainError, PinError

MAX_ROOTS: Final = 4


@dataclass(frozen=True, slots=True)
class TrustStore:
    """An immutable set of roots, in the order in which they came to be trusted."""

    roots: tuple[Certificate, ...]

    @classmethod
    def from_roots(cls, roots: Sequence[Certificate]) -> Self:
        """The trust in these. Raises `ChainError` for none or more than `MAX_ROOTS`."""
        unique = tuple(dict.fromkeys(roots))
        if not 0 < len(unique) <= MAX_ROOTS:
            raise ChainError(f"a trust store has 1 to {MAX_ROOTS} roots")
        return cls(unique)

    @classmethod
    def from_pem(cls, data: bytes) -> Self:
        """The trust in the roots of a PEM file. Raises `ChainError`."""
        return cls.from_roots(parse_pem_chain(data))

    @classmethod
    def from_pin(cls, chain: Sequence[bytes], pin_text: str) -> Self:
        """The trust in that certificate of a peer's chain whose key is the pinned one.

        It need not be self-signed: a cross-certificate of the pinned key does as well. Raises
        `PinError` when none is, or the pin is none; `ChainError` for what cannot be read.
        """
        digest = pin.parse_pin(pin_text)
        found = [c for c in map(parse_certificate, chain[1:]) if pin.pin_matches(c, digest)]
        if not found:
            raise PinError("no authority in the peer's chain is the pinned one: wrong peer or pin")
        return cls.from_roots(found[:1])

    def updated(self, roots: Sequence[Certificate], cross: Certificate | None) -> Self:
        """The trust that an agent has after it was told that `roots` are trusted now.

        A root that is new to it counts only when `cross` certifies that root as one, by one that it
        trusts (`is_cross`), or when it is one of those, made anew with the same key: whoever
        holds the control plane, and so an intermediate that a root has certified, but no root's
        key, cannot add one. It forgets roots that are not told any more, but never all. Raises
        `ChainError` otherwise.
        """
        for root in roots:
            if root in self.roots:
                continue
            proofs = [root] if cross is None else [root, cross]
            if not any(is_cross(proof, root, by) for proof in proofs for by in self.roots):
                raise ChainError("a new root must be certified by one that is trusted already")
        return type(self).from_roots(roots)

    def to_pem(self) -> bytes:
        """A PEM file of the roots."""
        return to_pem(self.roots)

    def to_der(self) -> list[bytes]:
        """The roots in DER."""
        return [to_der(root) for root in self.roots]

    @property
    def pins(self) -> list[str]:
        """The roots' pins."""
        return [pin.pin_of(root) for root in self.roots]
