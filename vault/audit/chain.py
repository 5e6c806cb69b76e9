"""The two commitments that grow with the log: a hash chain over its lines, and a Merkle tree.

The chain tells where a line was touched, the tree proves one line without showing the others.
"""

from typing import Final, Self

from protocols.merkle import Frontier
from vault.audit.keys import HashFunction

EMPTY_HEAD: Final = bytes(32)  # what the first record's `prev` says


class Chain:
    """The state after `size` lines. The n-th line (from 0) is the n-th leaf."""

    __slots__ = ("_digest", "head", "tree")

    def __init__(
        self, digest: HashFunction, head: bytes = EMPTY_HEAD, tree: Frontier | None = None
    ) -> None:
        self._digest = digest
        self.head = head
        self.tree = tree or Frontier(digest)

    @property
    def size(self) -> int:
        """How many lines there are."""
        return self.tree.size

    def extend(self, line: bytes) -> None:
        """Add a line, given without its newline: head = SHA-256(head ‖ line)."""
        self.head = self._digest(self.head + line)
        self.tree.append(self._digest(b"\x00" + line))  # merkle.leaf_hash, inlined: the hot path

    def copy(self) -> Self:
        """An independent chain in the same state."""
        return type(self)(self._digest, self.head, self.tree.copy())
