"""The Merkle tree of RFC 9162, section 2.1, in memory that grows with the logarithm of its size.

A proof is a list of node hashes, and each node covers a range of leaves. So a prover is told which
ranges it needs (`inclusion_ranges`, `consistency_ranges`) and feeds the log through once.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Self, TypeAlias

HashFunction: TypeAlias = Callable[[bytes], bytes]  # SHA-256
LeafRange: TypeAlias = tuple[int, int]  # leaves start ≤ index < end


def leaf_hash(digest: HashFunction, data: bytes) -> bytes:
    """The hash of a leaf; its prefix keeps it from passing for a node (RFC 9162, 2.1.1)."""
    return digest(b"\x00" + data)


def node_hash(digest: HashFunction, left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children."""
    return digest(b"\x01" + left + right)


class Frontier:
    """A growing tree, kept as its perfect subtrees, largest (leftmost) first.

    The subtrees' sizes are the powers of two that make up `size`.
    """

    __slots__ = ("_digest", "hashes", "size")

    def __init__(self, digest: HashFunction, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self._digest = digest
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            raise ValueError("a frontier has one hash for each power of two in its size")

    def append(self, leaf: bytes) -> None:
        """Add the next leaf, given its `leaf_hash`; about one node hash, amortised."""
        rest, node, hashes = self.size, leaf, self.hashes
        while rest & 1:
            node = self._digest(b"\x01" + hashes.pop() + node)
            rest >>= 1
        hashes.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The Merkle tree hash; of an empty tree, the hash of nothing."""
        if not self.hashes:
            return self._digest(b"")
        node = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            node = node_hash(self._digest, left, node)
        return node

    def subtrees_from(self, start: int) -> list[bytes]:
        """The hashes of the subtrees that lie at or behind leaf `start`."""
        kept: list[bytes] = []
        position = 0
        for power, value in zip(_powers(self.size), self.hashes, strict=True):
            if position >= start:
                kept.append(value)
            position += power
        return kept

    def copy(self) -> Self:
        """An independent tree with the same leaves."""
        return type(self)(self._digest, self.size, self.hashes)


def inclusion_ranges(index: int, size: int) -> list[LeafRange]:
    """The nodes of the inclusion proof of leaf `index` (RFC 9162, 2.1.3.1), deepest first.

    Raises `ValueError` for a leaf that is not in the tree.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    start, end = 0, size
    ranges = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[LeafRange]:
    """The nodes of the proof that tree `new` begins with tree `old` (RFC 9162, 2.1.4.1).

    Raises `ValueError` unless 0 < old ≤ new.
    """
    if not 0 < old <= new:
        raise ValueError(f"no consistency proof from {old} to {new}")
    start, end, ranges = 0, new, []
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:  # the old tree is not itself a node of the new one, so its last part must be shown
        ranges.append((start, end))
    return ranges[::-1]


class ProofBuilder:
    """Hashes the wanted ranges while the leaves of a log go by, in order.

    `begin` is the tree before the first leaf that is fed: what retention has removed.
    """

    def __init__(self, digest: HashFunction, ranges: Sequence[LeafRange], begin: Frontier) -> None:
        self._order = ranges
        self._index = begin.size
        self._trees = {
            (start, end): Frontier(digest, begin.size - start, begin.subtrees_from(start))
            if start < begin.size < end
            else Frontier(digest)
            for start, end in ranges
        }
        self._known = _nodes(begin)
        self._ascending = sorted(ranges)

    def add_leaf(self, leaf: bytes) -> None:
        """The next leaf's hash."""
        while self._ascending and self._ascending[0][1] <= self._index:
            self._ascending.pop(0)
        if self._ascending and self._ascending[0][0] <= self._index:
            self._trees[self._ascending[0]].append(leaf)
        self._index += 1

    def proof_hashes(self) -> list[bytes]:
        """The proof, in its order. Raises `ValueError` when the log ended or began inside it."""
        return [self._hash(wanted) for wanted in self._order]

    def _hash(self, wanted: LeafRange) -> bytes:
        if wanted in self._known:
            return self._known[wanted]
        tree = self._trees[wanted]
        if tree.size != wanted[1] - wanted[0]:
            raise ValueError(f"the log does not hold the records {wanted[0]} to {wanted[1] - 1}")
        return tree.root()


def verify_inclusion(
    digest: HashFunction, *, index: int, size: int, leaf: bytes, root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether `path` proves that the leaf is at `index` of the tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, result = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            result = node_hash(digest, step, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(digest, result, step)
        node, last = node >> 1, last >> 1
    return last == 0 and result == root


def verify_consistency(
    digest: HashFunction,
    *,
    old: int,
    old_root: bytes,
    new: int,
    new_root: bytes,
    path: Sequence[bytes],
) -> bool:
    """Whether `path` proves that the new tree begins with the old one (RFC 9162, 2.1.4.2)."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not path and old_root == new_root
    steps = [old_root, *path] if old.bit_count() == 1 else list(path)
    if not steps:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            first = node_hash(digest, step, first)
            second = node_hash(digest, step, second)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(digest, second, step)
        node, last = node >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (> 1)."""
    return 1 << ((size - 1).bit_length() - 1)


def _powers(size: int) -> list[int]:
    return [1 << bit for bit in reversed(range(size.bit_length())) if size >> bit & 1]


def _nodes(tree: Frontier) -> dict[LeafRange, bytes]:
    position, nodes = 0, {}
    for power, value in zip(_powers(tree.size), tree.hashes, strict=True):
        nodes[position, position + power] = value
        position += power
    return nodes
